//! Policies in a folder of YAML files: read whole, compiled whole, watched for change. Never puts a faulty set in force.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::canonical::compile;
use super::yaml::Written;
use crate::config::looks::{Looks, look};
use crate::config::tree::{Fault, Faults};
use crate::domain::policy::PolicySet;
use crate::domain::vocabulary::Vocabulary;

/// The largest agreement file that is read.
const MOST_BYTES: u64 = 8 << 20;

/// A checked and compiled set.
#[derive(Debug)]
pub struct Loaded {
    /// Ready for deciding.
    pub policy: PolicySet,
    /// Its canonical JSON, whose hash is its version.
    pub canonical: String,
}

/// Reads and compiles every `.yaml` and `.yml` file under `folder`, or one file.
///
/// # Errors
/// Every fault of every file, with line and mend.
pub fn load(folder: &Path, words: &Vocabulary) -> Result<Loaded, Vec<Fault>> {
    let Written { agreements, defaults, kills, .. } = read(folder, words)?;
    Ok(compile(agreements, &defaults, kills.unwrap_or_default(), words))
}

/// Reads every `.yaml` and `.yml` file under `folder`, or one file, as it is written.
///
/// # Errors
/// Every fault of every file, with line and mend.
pub fn read(folder: &Path, words: &Vocabulary) -> Result<Written, Vec<Fault>> {
    let faults = Faults::default();
    let mut written = Written::default();
    let named = if folder.is_file() { vec![folder.to_path_buf()] } else { files(folder, &faults) };
    for path in named {
        let name = path.display().to_string();
        // Before anything is read: a pipe would be waited for without end, and a device may have no end.
        match fs::metadata(&path) {
            Ok(about) if !about.is_file() => {
                faults.add(&name, 1, "", "is no regular file: put a file here, or a link to one");
                continue;
            }
            Ok(about) if about.len() > MOST_BYTES => {
                faults.add(&name, 1, "", format!("has {} bytes: split files over {MOST_BYTES}", about.len()));
                continue;
            }
            // What cannot even be looked at cannot be read either, which is said below.
            _ => {}
        }
        match fs::read_to_string(&path) {
            Ok(text) => written.read(&name, &text, words, &faults),
            Err(error) => faults.add(&name, 1, "", format!("cannot be read: {error}")),
        }
    }
    if faults.count() == 0 && written.agreements.is_empty() && written.defaults.is_empty() && !written.says_so {
        let name = folder.display().to_string();
        faults.add(
            &name,
            1,
            "",
            "holds no agreement: is it the right folder? `agreements: []` says that none is meant",
        );
    }
    if faults.count() > 0 { Err(faults.into_sorted()) } else { Ok(written) }
}

/// Agreement files under `folder`, by path. Hidden files and folders are left out.
fn files(folder: &Path, faults: &Faults) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_path_buf()];
    }
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    // A folder behind a link may be one that was read already: mounted settings are links, and links can run in circles.
    let mut visited = HashSet::new();
    while let Some(folder) = folders.pop() {
        if !visited.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())) {
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                let name = folder.display().to_string();
                faults.add(&name, 1, "", format!("the policy folder cannot be read: {error}"));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A policy folder and what it looked like when last read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    seen: Looks,
    taken: Looks,
}

impl Folder {
    /// A folder not yet read.
    pub fn new(path: &Path) -> Self {
        Folder { path: path.to_path_buf(), seen: Vec::new(), taken: Vec::new() }
    }

    /// Takes the folder as it is now for read.
    pub fn taken(&mut self) {
        self.seen = self.look();
        self.taken.clone_from(&self.seen);
    }

    /// Whether a file came, went or changed since the last time this said so, and all have kept still between two looks:
    /// a file that is being written is not read. Cheap: sizes and times only.
    pub fn changed(&mut self) -> bool {
        let looks = self.look();
        let still = looks == self.seen;
        self.seen = looks;
        let changed = still && self.seen != self.taken;
        if changed {
            self.taken.clone_from(&self.seen);
        }
        changed
    }

    fn look(&self) -> Looks {
        look(files(&self.path, &Faults::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "agreements:\n  - id: a-b\n    title: t\n    platform: kuaishou\n    marketplace: jd\n    \
                        effect: allow\n    from: 2022-01-01\n";

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn a_change_is_seen_when_it_keeps_still_and_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let words = Vocabulary::default();
        write(folder.path(), "one.yaml", GOOD);
        let first = load(folder.path(), &words).unwrap().policy.version();
        let mut watched = Folder::new(folder.path());
        watched.taken();
        assert!(!watched.changed());

        write(folder.path(), "two.yaml", GOOD);
        assert!(!watched.changed(), "it may still be being written");
        assert!(watched.changed(), "it kept still");
        assert!(!watched.changed(), "once");
        let faults = load(folder.path(), &words).unwrap_err();
        assert!(faults[0].problem.contains("`a-b` is already used at"), "{faults:?}");

        write(folder.path(), "two.yaml", &GOOD.replace("a-b", "c-d"));
        assert_ne!(load(folder.path(), &words).unwrap().policy.version(), first);
        let one = load(&folder.path().join("one.yaml"), &words).unwrap();
        assert_eq!(one.policy.version(), first, "one file alone");
    }

    #[test]
    fn layout_does_not_change_the_version_but_meaning_does() {
        let words = Vocabulary::default();
        let of = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), "x.yaml", text);
            load(folder.path(), &words).unwrap().policy.version()
        };
        assert_eq!(of(GOOD), of(&format!("# a remark\n{}", GOOD.replace("2022-01-01", "\"2022-01-01 00:00:00\""))));
        assert_eq!(of(GOOD), of(&GOOD.replace("jd", "[jd]")));
        assert_ne!(of(GOOD), of(&GOOD.replace("2022-01-01", "2022-01-02")));
    }

    #[test]
    fn every_fault_is_listed_in_one_run() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "bad.yaml",
            "agreements:\n  - id: A\n    title: t\n    platform: kuaishuo\n    marketplace: jd\n    effect: allow\n    \
             from: 2022-12-01\n    until: 2022-11-01\n    when: {surfaces: [live_card], colour: red}\n    \
             rollout: {by: creator, steps: [{at: 2022-12-02, percent: 50}, {at: 2022-12-03, percent: 20}]}\n",
        );
        let faults = load(folder.path(), &Vocabulary::default()).unwrap_err();
        let shown: Vec<String> = faults.iter().map(|f| format!("{}:{} {}", f.line, f.field, f.problem)).collect();
        let all = shown.join("\n");
        for part in [
            "2:agreements[0].id `A` is not an id",
            "4:agreements[0].platform `kuaishuo` is not known: did you mean `kuaishou`?",
            "is not after `from`",
            "9:agreements[0].when.surfaces[0] `live_card` is not known: did you mean `live_cart`?",
            "9:agreements[0].when.colour unknown key",
            "a rollout only widens",
        ] {
            assert!(all.contains(part), "{part:?} is missing in\n{all}");
        }
        assert!(load(Path::new("no/such/folder"), &Vocabulary::default()).is_err());
    }

    #[test]
    fn an_empty_file_or_folder_is_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        let words = Vocabulary::default();
        let problem = |folder: &Path| load(folder, &words).unwrap_err()[0].problem.clone();
        assert!(problem(folder.path()).contains("holds no agreement"));
        write(folder.path(), "one.yaml", GOOD);
        write(folder.path(), "two.yaml", "# cut off\n");
        assert!(problem(folder.path()).contains("is empty"), "{}", problem(folder.path()));
        write(folder.path(), "one.yaml", "agreements: []\n");
        fs::remove_file(folder.path().join("two.yaml")).unwrap();
        assert!(load(folder.path(), &words).unwrap().policy.agreements().is_empty(), "said in so many words");
    }

    #[test]
    fn what_is_no_regular_file_is_a_fault_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(folder.path(), "one.yaml", GOOD);
        std::os::unix::fs::symlink(at("one.yaml"), at("good-link")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe.yaml")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", at("zero.yaml")).unwrap();
        std::os::unix::fs::symlink("gone", at("dangling.yaml")).unwrap();
        let large = fs::File::create(at("large.yaml")).unwrap();
        large.set_len(MOST_BYTES + 1).unwrap();
        let faults = load(folder.path(), &Vocabulary::default()).unwrap_err();
        let problems: Vec<&str> = faults.iter().map(|fault| &*fault.problem).collect();
        assert_eq!(problems.len(), 4, "{faults:?}");
        assert!(problems[0].contains("cannot be read"), "{faults:?}");
        assert!(problems[1].contains("has 8388609 bytes: split"), "{faults:?}");
        assert!(problems[2..].iter().all(|problem| problem.contains("is no regular file")), "{faults:?}");
        for alone in ["pipe.yaml", "zero.yaml"] {
            assert!(load(&at(alone), &Vocabulary::default()).is_err(), "{alone} alone");
        }
        assert!(load(&at("good-link"), &Vocabulary::default()).is_ok(), "a link to a file is one");
    }

    #[test]
    fn links_in_circles_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.yaml", GOOD);
        std::os::unix::fs::symlink(".", folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink(".", folder.path().join("b")).unwrap();
        assert_eq!(load(folder.path(), &Vocabulary::default()).unwrap().policy.agreements().len(), 1);
    }
}
