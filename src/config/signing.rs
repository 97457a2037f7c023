//! Settings of the keys platforms sign with, and reading their secrets. Never shows what a secret holds.

use std::fs;
use std::path::Path;

use super::tree::{Fault, Table};
use super::webhooks::SecretSource;
use crate::domain::sign::{FEWEST_SECRET, SigningKey, SigningKeys};
use crate::domain::span::Span;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{PlatformId, Surface, Vocabulary};

/// `[signing]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningSettings {
    /// The longest a placement token may live.
    pub token_life: Span,
    /// Keys.
    pub keys: Vec<KeySettings>,
}

impl Default for SigningSettings {
    fn default() -> Self {
        SigningSettings { token_life: Span::ONE_HOUR, keys: Vec::new() }
    }
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySettings {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub platform: PlatformId,
    /// Where its secret is.
    pub secret: SecretSource,
    /// For these surfaces only; empty for all.
    pub surfaces: Vec<Surface>,
    /// Valid from …
    pub not_before: Timestamp,
    /// … until just before.
    pub not_after: Timestamp,
    /// Whether it may sign outbound clicks that never end.
    pub without_exp: bool,
    line: usize,
}

/// The most keys.
const MOST: usize = 256;

/// Reads `[signing]`.
pub(super) fn settings(table: &Table<'_>, base: &Path, words: &Vocabulary) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if let Some(field) = table.get("token_life")
        && let Some(life) = field.parse(|text| text.parse::<Span>())
    {
        if (1..=86_400).contains(&life.seconds()) {
            settings.token_life = life;
        } else {
            field.fault("is too long: a day at most, as every token is remembered until it ends");
        }
    }
    let entries = table.get("keys").and_then(|field| field.list()).unwrap_or_default();
    if entries.len() > MOST {
        table.fault("keys", format!("has {} keys: at most {MOST} are possible", entries.len()));
    }
    for entry in entries {
        let Some(table) = entry.table() else { continue };
        if let Some(key) = one(&table, base, words) {
            if settings.keys.iter().any(|known| known.id == key.id) {
                table.fault("id", format!("`{}` is the id of another key: choose another", key.id));
            }
            settings.keys.push(key);
        }
        table.finish();
    }
    settings
}

fn one(table: &Table<'_>, base: &Path, words: &Vocabulary) -> Option<KeySettings> {
    let id = table.require("id").and_then(|field| field.parse(key_id));
    let known: Vec<&str> = words.platforms().collect();
    let platform = table.require("platform").and_then(|field| field.one_of(|name| words.platform(name), &known));
    let file = table.get("secret_file").and_then(|field| field.text()).map(|file| SecretSource::File(base.join(file)));
    let variable = table.get("secret_env").and_then(|field| field.text());
    let variable = variable.map(|name| SecretSource::Variable(name.to_owned()));
    let secret = match (file, variable) {
        (Some(source), None) | (None, Some(source)) => Some(source),
        (None, None) => {
            table.fault("", "needs `secret_file` or `secret_env`: hex digits, as `openssl rand -hex 32` writes them");
            None
        }
        (Some(_), Some(_)) => {
            table.fault("secret_env", "stands beside `secret_file`: keep one");
            None
        }
    };
    let fields = table.get("surfaces").and_then(|field| field.list()).unwrap_or_default();
    let surfaces = fields.iter().filter_map(|field| field.one_of(Surface::parse, &Surface::names())).collect();
    let time = |key: &'static str| table.get(key).and_then(|field| field.parse(|text| text.parse::<Timestamp>()));
    let not_before = time("not_before").unwrap_or(Timestamp::MIN);
    let not_after = time("not_after").unwrap_or(Timestamp::MAX);
    if not_after <= not_before {
        table.fault("not_after", "is not after `not_before`: the key would never be valid");
    }
    let without_exp = table.get("without_exp").and_then(|field| field.boolean()).unwrap_or(false);
    Some(KeySettings {
        id: id?,
        platform: platform?,
        secret: secret?,
        surfaces,
        not_before,
        not_after,
        without_exp,
        line: table.line(),
    })
}

fn key_id(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not an id: use 1 to 32 of A-Z a-z 0-9 - _")) }
}

/// Reads every secret. With the keys come warnings, for files that others may read.
///
/// # Errors
/// Every secret that cannot be used.
pub fn load(settings: &SigningSettings) -> Result<(SigningKeys, Vec<String>), Vec<Fault>> {
    let (mut keys, mut warnings, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for key in &settings.keys {
        match read(key, &mut warnings) {
            Ok(key) => keys.push(key),
            Err(problem) => {
                let field = format!("signing.keys.{}", key.id);
                faults.push(Fault { file: "signing".to_owned(), line: key.line, field, problem });
            }
        }
    }
    if faults.is_empty() { Ok((SigningKeys::new(keys, settings.token_life.seconds()), warnings)) } else { Err(faults) }
}

fn read(key: &KeySettings, warnings: &mut Vec<String>) -> Result<SigningKey, String> {
    let text = match &key.secret {
        SecretSource::File(path) => {
            let shown = path.display();
            if open_to_others(path) {
                warnings.push(format!("{shown}: others on this machine can read this secret: chmod 600"));
            }
            fs::read_to_string(path).map_err(|error| format!("secret_file {shown}: {error}"))?
        }
        SecretSource::Variable(name) => {
            std::env::var(name).map_err(|_| format!("secret_env {name}: the variable is not set"))?
        }
    };
    let wrong =
        || format!("is no secret: write {FEWEST_SECRET} random bytes or more as hex, e.g. of `openssl rand -hex 32`");
    let secret = hex(text.trim()).ok_or_else(wrong)?;
    let mut read = SigningKey::new(&key.id, key.platform, &secret).ok_or_else(wrong)?;
    read.surfaces.clone_from(&key.surfaces);
    read.from = key.not_before;
    read.until = key.not_after;
    read.without_exp = key.without_exp;
    Ok(read)
}

fn open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

/// Bytes of hex digits.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::marketplaces::shipped;
    use crate::config::tree::{Faults, from_toml};

    fn read_settings(text: &str, base: &Path) -> (SigningSettings, Vec<String>) {
        let faults = Faults::default();
        let node = from_toml("f.toml", text, &faults).unwrap();
        let root = Table::root("f.toml", &node, &faults).unwrap();
        let read = settings(&root, base, shipped());
        root.finish();
        (read, faults.into_sorted().iter().map(Fault::to_string).collect())
    }

    #[test]
    fn keys_are_read_with_every_fault() {
        let (_, faults) = read_settings(
            "token_life = \"2d\"\n[[keys]]\nid = \"a b\"\nplatform = \"kuaishuo\"\nsurfaces = [\"nowhere\"]\n\
             not_before = \"2026-01-02 00:00:00\"\nnot_after = \"2026-01-01 00:00:00\"\n[[keys]]\nid = \"k\"\n\
             platform = \"douyin\"\nsecret_env = \"A\"\nsecret_file = \"b\"\n",
            Path::new(""),
        );
        assert_eq!(faults.len(), 7, "{faults:#?}");
    }

    #[test]
    fn secrets_are_read_and_judged() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("good"), format!("{}\n", "ab".repeat(32))).unwrap();
        fs::set_permissions(path("good"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path("short"), "ab".repeat(31)).unwrap();
        fs::write(path("odd"), "zz".repeat(40)).unwrap();
        let key =
            |name: &str| format!("[[keys]]\nid = \"{name}\"\nplatform = \"kuaishou\"\nsecret_file = \"{name}\"\n");
        let (good, faults) = read_settings(&key("good"), folder.path());
        assert!(faults.is_empty(), "{faults:?}");
        let (keys, warnings) = load(&good).unwrap();
        assert_eq!((keys.len(), warnings.len()), (1, 1));
        assert!(warnings[0].contains("chmod 600"));
        let (bad, _) = read_settings(&[key("short"), key("odd"), key("gone")].concat(), folder.path());
        let faults = load(&bad).unwrap_err();
        assert_eq!(faults.len(), 3);
        let all = faults.iter().map(Fault::to_string).collect::<String>();
        assert!(all.contains("signing.keys.short") && !all.contains("abab"), "{all}");
    }
}
