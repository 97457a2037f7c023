//! The data folder: what its files are called, and the secrets made in it at first use. Never reads what a store keeps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::StartError;
use crate::archive::Recorded;
use crate::click::write_private;
use crate::domain::click_id::ClickKey;
use crate::sqlite;

/// The files of a data folder.
pub struct DataDir(PathBuf);

impl DataDir {
    /// A data folder that may not exist yet.
    pub fn new(path: &Path) -> Self {
        DataDir(path.to_path_buf())
    }

    /// Creates it, for its owner only, if it is not there.
    ///
    /// # Errors
    /// [`StartError::Data`].
    pub fn create(&self) -> Result<(), StartError> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => io::Error::new(io::ErrorKind::NotADirectory, "is not a folder"),
                _ => error,
            })
            .map_err(|error| StartError::Data { path: self.0.clone(), error })
    }

    /// The database of links and keys.
    pub fn database(&self) -> PathBuf {
        self.0.join("hopgate.sqlite")
    }

    /// The file of figures and touches; made anew from the hops when it is gone.
    pub fn stats(&self) -> PathBuf {
        self.0.join("stats.sqlite")
    }

    /// The database of order reports and what follows from them.
    pub fn orders(&self) -> PathBuf {
        self.0.join("orders.sqlite")
    }

    /// The folder of the journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Every recorded hop: the journal and the archive.
    pub fn hops(&self) -> Recorded {
        Recorded::of(&self.0)
    }

    /// The folder of the raw log.
    pub fn raw(&self) -> PathBuf {
        self.0.join("raw")
    }

    /// Where the records of purges are kept, one a line.
    pub fn purges(&self) -> PathBuf {
        self.0.join("purges.ndjson")
    }

    /// Where the first ops key is written.
    pub fn admin_key(&self) -> PathBuf {
        self.0.join("admin.key")
    }

    /// The secret of click ids, made at first use.
    ///
    /// # Errors
    /// [`StartError::Data`] when it cannot be read or written, or is not 16 bytes.
    pub fn click_key(&self) -> Result<ClickKey, StartError> {
        let path = self.0.join("click.key");
        let fail = |error| StartError::Data { path: path.clone(), error };
        let secret = match fs::read(&path) {
            Ok(bytes) => <[u8; 16]>::try_from(bytes.as_slice()).map_err(|_| {
                fail(io::Error::new(io::ErrorKind::InvalidData, "is not a key of 16 bytes: restore it from a backup"))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; 16];
                getrandom::fill(&mut secret).map_err(|error| fail(io::Error::other(error)))?;
                write_private(&path, &secret).map_err(fail)?;
                secret
            }
            Err(error) => return Err(fail(error)),
        };
        Ok(ClickKey::new(&secret))
    }

    pub(super) fn visitor_keys(&self) -> PathBuf {
        self.0.join("visitor.keys")
    }

    /// Writes the logs of its databases into their files. What stays in a log is not lost: it is read from there.
    pub(super) fn fold_logs(&self) {
        for path in [self.database(), self.stats(), self.orders()] {
            if let Err(error) = sqlite::fold(&path) {
                tracing::warn!(path = %path.display(), %error, "the log of a database was not written into its file");
            }
        }
    }
}
