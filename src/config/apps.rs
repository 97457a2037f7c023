//! Settings of our own apps: which may open this gateway's links. Reads and checks what is written; what is served of it
//! is the edge's.

use super::tree::Table;

/// An Android app and the certificates it is signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AndroidApp {
    /// Its package.
    pub package: String,
    /// SHA-256 fingerprints, upper-case hex with colons.
    pub fingerprints: Vec<String>,
}

/// The apps that may open links of this gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Apps {
    /// iOS: `TEAMID.bundle`.
    pub ios: Vec<String>,
    /// Android.
    pub android: Vec<AndroidApp>,
    /// HarmonyOS: app identifiers.
    pub harmony: Vec<String>,
    /// Paths iOS opens in the app; `*` and `?` stand for anything.
    pub paths: Vec<String>,
    /// Paths iOS leaves to the browser; these come first.
    pub exclude: Vec<String>,
}

impl Default for Apps {
    /// No app; every path but previews.
    fn default() -> Self {
        Apps {
            ios: Vec::new(),
            android: Vec::new(),
            harmony: Vec::new(),
            paths: vec!["/*".to_owned()],
            exclude: vec!["/*+".to_owned()],
        }
    }
}

/// The most apps, fingerprints or paths of a sort: the files stay far below what systems read of them (128 KiB).
const MOST: usize = 32;

/// Reads `[apps]`.
pub(super) fn read(table: &Table<'_>) -> Apps {
    let mut apps = Apps::default();
    let texts = |table: &Table<'_>, key: &'static str, check: fn(&str) -> Result<String, String>| {
        let field = table.get(key)?;
        let items = field.list()?;
        if items.len() > MOST {
            field.fault(format!("has {} entries: at most {MOST} are possible", items.len()));
        }
        let mut read: Vec<String> = Vec::new();
        for item in items {
            let Some(text) = item.parse(check) else { continue };
            if read.contains(&text) {
                item.fault(format!("`{text}` stands here twice: keep one"));
            }
            read.push(text);
        }
        Some(read)
    };
    let mut set = |target: fn(&mut Apps) -> &mut Vec<String>, value: Option<Vec<String>>| {
        if let Some(value) = value {
            *target(&mut apps) = value;
        }
    };
    set(|apps| &mut apps.ios, texts(table, "ios", ios));
    set(|apps| &mut apps.harmony, texts(table, "harmony", harmony));
    set(|apps| &mut apps.paths, texts(table, "paths", path));
    set(|apps| &mut apps.exclude, texts(table, "exclude", path));
    let android = table.get("android");
    let entries = android.as_ref().and_then(|field| field.list()).unwrap_or_default();
    if let Some(field) = android.as_ref().filter(|_| entries.len() > MOST) {
        field.fault(format!("has {} apps: at most {MOST} are possible", entries.len()));
    }
    for entry in entries {
        let Some(one) = entry.table() else { continue };
        let name = one.require("package").and_then(|field| field.parse(package));
        let fingerprints = match one.require("sha256") {
            Some(field) => {
                if field.list().is_some_and(|items| items.is_empty()) {
                    field.fault("is empty: Android opens nothing without a fingerprint; give one at least");
                }
                texts(&one, "sha256", fingerprint).unwrap_or_default()
            }
            None => Vec::new(),
        };
        if let Some(package) = name {
            if apps.android.iter().any(|known| known.package == package) {
                one.fault("package", format!("`{package}` stands in another entry: give all fingerprints in one"));
            }
            apps.android.push(AndroidApp { package, fingerprints });
        }
        one.finish();
    }
    apps
}

fn dotted(text: &str, also: &[char], least: usize) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(&c))
    };
    text.len() <= 255 && text.split('.').count() >= least && text.split('.').all(part)
}

fn ios(text: &str) -> Result<String, String> {
    let sound = text.split_once('.').is_some_and(|(team, bundle)| {
        team.len() == 10
            && team.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && dotted(bundle, &['-'], 1)
    });
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is not an app id: write the team's ten characters, a dot and the bundle, \
                     A1B2C3D4E5.com.example.app"
        ))
    }
}

fn package(text: &str) -> Result<String, String> {
    let sound = dotted(text, &['_'], 2) && !text.split('.').any(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    if sound { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a package: write com.example.app")) }
}

fn harmony(text: &str) -> Result<String, String> {
    let sound = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is not an app identifier: copy it from AppGallery Connect, digits such as \
                     5765880207853134833"
        ))
    }
}

fn fingerprint(text: &str) -> Result<String, String> {
    let pairs: Vec<&str> = text.split(':').collect();
    let pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    if pairs.len() == 32 && pairs.iter().all(pair) {
        return Ok(text.to_owned());
    }
    let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_uppercase()).collect();
    let shown: String = text.chars().take(100).collect();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let pairs: Vec<&str> = (0..32).map(|pair| &digits[2 * pair..2 * pair + 2]).collect();
        return Err(format!("`{shown}` is not in the form Android reads: write {}", pairs.join(":")));
    }
    Err(format!(
        "`{shown}` is not a SHA-256 fingerprint: write 32 pairs of upper-case hex digits with colons, as `keytool -list -v` \
         prints them"
    ))
}

fn path(text: &str) -> Result<String, String> {
    let sound = text.starts_with('/') && text.len() <= 255 && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a path: begin with /, use visible ASCII, * for anything and ? for one character"))
    }
}
