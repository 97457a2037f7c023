//! `generate_hops DATA_DIR [--hops N] [--seed N] [--from TIME] [--policies FOLDER]`: a data folder as a gateway leaves it
//! after a day of clicks, for measuring `hops verify` and `policy backtest`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod hops;

use std::time::Instant;

use hops::{Recipe, USUAL_FROM, generate};

fn main() {
    let mut recipe = Recipe {
        data: "".into(),
        policies: "config/policies".into(),
        hops: 10_000_000,
        seed: 1,
        from: USUAL_FROM.parse().unwrap(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| wrong(&format!("{argument} needs a value")));
        match argument.as_str() {
            "--hops" => recipe.hops = value().parse().unwrap_or_else(|_| wrong("--hops needs a number")),
            "--seed" => recipe.seed = value().parse().unwrap_or_else(|_| wrong("--seed needs a number")),
            "--from" => recipe.from = value().parse().unwrap_or_else(|error| wrong(&format!("--from: {error}"))),
            "--policies" => recipe.policies = value().into(),
            other if !other.starts_with('-') && recipe.data.as_os_str().is_empty() => recipe.data = other.into(),
            other => wrong(&format!("`{other}` is not known")),
        }
    }
    if recipe.data.as_os_str().is_empty() || recipe.hops == 0 {
        wrong("name a data folder, and at least one hop");
    }
    let begun = Instant::now();
    generate(&recipe, |count| {
        if count % 1_000_000 == 0 {
            eprintln!("{count} hops, {:.0} s", begun.elapsed().as_secs_f64());
        }
    });
    println!("{} hops in {}, {:.0} s", recipe.hops, recipe.data.display(), begun.elapsed().as_secs_f64());
}

fn wrong(what: &str) -> ! {
    eprintln!("generate_hops: {what}\ngenerate_hops DATA_DIR [--hops N] [--seed N] [--from TIME] [--policies FOLDER]");
    std::process::exit(2);
}
