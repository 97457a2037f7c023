//! What files look like from outside, to notice that somebody wrote them. Never reads one.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Paths with their size and time of change; whoever compares two sees what came, went or was written.
pub type Looks = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Looks at files. One that is not there has no time.
pub fn look(paths: impl IntoIterator<Item = PathBuf>) -> Looks {
    paths
        .into_iter()
        .map(|path| {
            let meta = fs::metadata(&path).ok();
            let size = meta.as_ref().map_or(0, fs::Metadata::len);
            (path, size, meta.and_then(|meta| meta.modified().ok()))
        })
        .collect()
}
