//! What can be typed after `hopgate link`. Only names and meanings.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;

/// `hopgate link`.
#[derive(Subcommand, Debug)]
pub enum Link {
    /// Issue one link.
    Create(Box<LinkCreate>),
    /// Issue many: none when any line has a fault. A code that is taken is left as it is, and named.
    Import(LinkImport),
}

/// `hopgate link create`.
#[derive(Args, Debug)]
pub struct LinkCreate {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The address: Taobao, Tmall, JD, or a shop on Kuaishou or Xiaohongshu; or a whole share text with one; or a share code
    /// (口令) alone.
    #[arg(long)]
    pub url: String,
    /// Whose code it is, for a code alone that does not tell.
    #[arg(long)]
    pub marketplace: Option<String>,
    /// Bind it to a platform.
    #[arg(long)]
    pub platform: Option<String>,
    /// Bind it to a spot there.
    #[arg(long)]
    pub surface: Option<String>,
    /// The creator who issues it.
    #[arg(long)]
    pub creator: Option<String>,
    /// A code of your own, 3 to 64 characters.
    #[arg(long)]
    pub slug: Option<String>,
    /// When it ends.
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// Who runs the shop.
    #[arg(long)]
    pub shop_type: Option<String>,
    /// The goods' category.
    #[arg(long)]
    pub category: Option<String>,
    /// A label; repeatable.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// A fact it carries; repeatable.
    #[arg(long = "fact", value_name = "NAME")]
    pub facts: Vec<String>,
    /// Where a click goes when the policy refuses --url, tried in order: URL[,shop_type=…][,category=…]; repeatable, at
    /// most 8.
    #[arg(long = "alternate", value_name = "URL")]
    pub alternates: Vec<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `hopgate link import`.
#[derive(Args, Debug)]
pub struct LinkImport {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    /// The file's format.
    #[arg(long, value_enum, default_value_t = ImportFormat::Ndjson)]
    pub format: ImportFormat,
    /// Ask short links what they lead to, as `link create` does.
    #[arg(long)]
    pub resolve: bool,
    /// One link a line: the fields of `POST /v1/links`, with `code` as another name of `slug`.
    pub file: PathBuf,
}

/// Formats of link files.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// One JSON object a line.
    Ndjson,
}
