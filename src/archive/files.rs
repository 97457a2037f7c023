//! Which archived files there are, by their names. Never opens one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::schema::VERSION;
use crate::journal::read::ReadError;

/// What a file that is being written ends in; one that was left behind is worth nothing.
pub(super) const UNFINISHED: &str = ".part";

/// An archived file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archived {
    /// The file.
    pub path: PathBuf,
    /// The gateway its hops are of.
    pub node: String,
    /// The first record of the segment.
    pub first_seq: u64,
    /// The last record of the segment.
    pub last_seq: u64,
}

impl Archived {
    /// The name of the file for the records of a segment.
    pub fn name(node: &str, first_seq: u64, last_seq: u64) -> String {
        format!("hops-{node}-{first_seq:020}-{last_seq:020}-v{VERSION}.parquet")
    }

    /// The file's name.
    pub fn file_name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn of(path: PathBuf) -> Option<(Archived, u32)> {
        let name = path.file_name()?.to_str()?.strip_prefix("hops-")?.strip_suffix(".parquet")?;
        let (rest, version) = name.rsplit_once("-v")?;
        let (rest, last_seq) = rest.rsplit_once('-')?;
        let (node, first_seq) = rest.rsplit_once('-')?;
        let number = |digits: &str| {
            let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()).flatten()
        };
        let (first_seq, last_seq, version) = (number(first_seq)?, number(last_seq)?, version.parse().ok()?);
        let node = node.to_owned();
        Some((Archived { path, node, first_seq, last_seq }, version))
    }
}

/// The archived files of a folder, by node and number; a folder that is not there has none. Other files are none of ours.
///
/// # Errors
/// [`ReadError`]; also when a file has columns of a newer build.
pub fn list(dir: &Path) -> Result<Vec<Archived>, ReadError> {
    let fail = |source| ReadError::Unreadable { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let Some((file, version)) = Archived::of(entry.map_err(fail)?.path()) else { continue };
        if version > VERSION {
            let found = format!("it has columns of version {version}: use a newer hopgate");
            return Err(ReadError::Archived { path: file.path, found });
        }
        found.push(file);
    }
    found.sort_by(|one, other| (&one.node, one.first_seq).cmp(&(&other.node, other.first_seq)));
    for pair in found.windows(2) {
        if pair[0].node == pair[1].node && pair[0].last_seq >= pair[1].first_seq {
            let found = format!("it holds records that {} holds too", pair[0].file_name());
            return Err(ReadError::Archived { path: pair[1].path.clone(), found });
        }
    }
    Ok(found)
}

/// Makes the names in a folder durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes what a killed process left half written.
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(UNFINISHED)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_in_a_file_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), b"").unwrap();
        assert_eq!(list(&folder.path().join("none")).unwrap(), []);
        let name = Archived::name("bj-1.a", 1, 90);
        assert_eq!(name, "hops-bj-1.a-00000000000000000001-00000000000000000090-v1.parquet");
        put(&name);
        put(&Archived::name("bj-1.a", 91, 100));
        put(&Archived::name("aa", 5, 9));
        ["notes.txt", "hops-x-1-2-v1.parquet", &format!("{name}.part")].into_iter().for_each(put);
        let found = list(folder.path()).unwrap();
        let told: Vec<_> = found.iter().map(|file| (file.node.as_str(), file.first_seq, file.last_seq)).collect();
        assert_eq!(told, [("aa", 5, 9), ("bj-1.a", 1, 90), ("bj-1.a", 91, 100)]);
        clear(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);

        put(&Archived::name("bj-1.a", 95, 200));
        assert!(list(folder.path()).unwrap_err().to_string().contains("holds too"));
        put("hops-a-00000000000000000001-00000000000000000002-v2.parquet");
        assert!(list(folder.path()).unwrap_err().to_string().contains("newer hopgate"));
    }
}
