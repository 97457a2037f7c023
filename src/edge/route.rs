//! What a path on the click listeners asks for. Never looks at anything but the path.

/// The longest path that can hold a code: 64 characters, the slash and the mark of a preview, encoded by some apps.
const LONGEST: usize = 68;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route<'a> {
    /// A click on the link of this code.
    Code(&'a str),
    /// `/{code}+`: where the link leads, without a click.
    Preview(&'a str),
    /// `/go`: a platform's signed outbound click.
    Go,
    /// `/.well-known/{name}`.
    WellKnown(&'a str),
    /// Nothing that is here.
    None,
}

/// Reads a path as it came, percent-encoding untouched.
pub fn route(path: &str) -> Route<'_> {
    let Some(rest) = path.strip_prefix('/') else { return Route::None };
    if let Some(name) = rest.strip_prefix(".well-known/") {
        return Route::WellKnown(name);
    }
    if rest.is_empty() || path.len() > LONGEST || rest.contains(['/', '.']) {
        return Route::None;
    }
    let code = rest.strip_suffix('+').or_else(|| rest.strip_suffix("%2B")).or_else(|| rest.strip_suffix("%2b"));
    match code {
        Some("") => Route::None,
        Some(code) => Route::Preview(code),
        None if rest == "go" => Route::Go,
        None => Route::Code(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let longest = format!("/{}", "a".repeat(64));
        for (path, expected) in [
            ("/k3Xw9QaZ", Route::Code("k3Xw9QaZ")),
            ("/k3Xw9QaZ+", Route::Preview("k3Xw9QaZ")),
            (&longest, Route::Code(&longest[1..])),
            ("/go", Route::Go),
            ("/k3Xw9QaZ%2B", Route::Preview("k3Xw9QaZ")),
            ("/go+", Route::Preview("go")),
            ("/.well-known/assetlinks.json", Route::WellKnown("assetlinks.json")),
            ("/", Route::None),
            ("/+", Route::None),
            ("", Route::None),
            ("*", Route::None),
            ("/a/b", Route::None),
            ("/favicon.ico", Route::None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
        assert_eq!(route(&format!("{longest}aaa+")), Route::None);
    }
}
