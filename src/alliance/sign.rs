//! How requests are signed: the parameters sorted by name and written one behind another, name and value without anything
//! between, under the application's secret. Never shows a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use ring::hmac;

use crate::config::alliances::SignMethod;
use crate::config::webhooks::SecretSource;

/// A secret of an account. Has no `Debug`, so that none can slip into a log.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Reads a source.
    ///
    /// # Errors
    /// What is wrong with it, without what it holds.
    pub fn read(source: &SecretSource) -> Result<Self, String> {
        let (place, text) = match source {
            SecretSource::File(path) => {
                let place = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
                (place, text)
            }
            SecretSource::Variable(name) => {
                let text = std::env::var(name).map_err(|_| format!("{name}: the variable is not set"))?;
                (name.clone(), text)
            }
        };
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_whitespace) {
            return Err(format!("{place}: is no secret: write it on one line, without spaces"));
        }
        Ok(Secret(text.to_owned()))
    }

    /// What it holds, for the one request it is sent in.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The signature of these parameters, in capital hex digits.
pub fn sign(secret: &Secret, method: SignMethod, parameters: &BTreeMap<&str, String>) -> String {
    // In the order of their bytes, which is what the map keeps.
    let text: String = parameters.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    let secret = secret.0.as_bytes();
    match method {
        SignMethod::Md5 => {
            let digest = Md5::new().chain_update(secret).chain_update(&text).chain_update(secret).finalize();
            capital_hex(&digest)
        }
        SignMethod::Hmac => capital_hex(&hmac_md5(secret, text.as_bytes())),
        SignMethod::HmacSha256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            capital_hex(hmac::sign(&key, text.as_bytes()).as_ref())
        }
    }
}

/// RFC 2104 over MD5, which ring has not.
fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    const BLOCK: usize = 64;
    let mut padded = [0u8; BLOCK];
    if key.len() > BLOCK {
        padded[..16].copy_from_slice(&Md5::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner = Md5::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Md5::new().chain_update(padded.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn capital_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hashlib and hmac from the same parameters.
    #[test]
    fn every_method_gives_what_another_implementation_gives() {
        let secret = Secret("helloworld".to_owned());
        let mut parameters: BTreeMap<&str, String> = [
            ("method", "taobao.tbk.order.details.get"),
            ("app_key", "12345678"),
            ("timestamp", "2026-11-11 00:00:00"),
            ("format", "json"),
            ("v", "2.0"),
            ("query_type", "4"),
            ("start_time", "2026-11-10 23:40:00"),
            ("end_time", "2026-11-11 00:00:00"),
            ("page_size", "100"),
            ("title", "中文"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        for (method, expected) in [
            (SignMethod::Md5, "4AD1B841021589DB033F3B4D4F1E5F1A"),
            (SignMethod::Hmac, "02C8F3B4B465D26FA53ED0FCCB61E119"),
            (SignMethod::HmacSha256, "69FB9D8FECB75B40A41110C4849B8E4091E298EF04B85DF64D2EFE6CA5A9C2EC"),
        ] {
            parameters.insert("sign_method", method.as_str().to_owned());
            assert_eq!(sign(&secret, method, &parameters), expected, "{method}");
        }
        let jd: BTreeMap<&str, String> = [
            ("method", "jd.union.open.order.row.query"),
            ("app_key", "abcdef"),
            ("timestamp", "2026-11-11 00:00:00"),
            ("format", "json"),
            ("v", "1.0"),
            ("sign_method", "md5"),
            ("360buy_param_json", "{\"orderReq\":{\"pageIndex\":1}}"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        assert_eq!(sign(&secret, SignMethod::Md5, &jd), "DB2E38BA6B41D9FBCCA06FEBB08E782C");
    }

    /// RFC 2202, section 2, cases 1, 2 and 6.
    #[test]
    fn hmac_md5_is_that_of_the_rfc() {
        let shown = |key: &[u8], text: &[u8]| capital_hex(&hmac_md5(key, text));
        assert_eq!(shown(&[0x0b; 16], b"Hi There"), "9294727A3638BB1C13F48EF8158BFC9D");
        assert_eq!(shown(b"Jefe", b"what do ya want for nothing?"), "750C783E6AB0B503EAA86E310A5DB738");
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(shown(&[0xaa; 80], long), "6B1AB7FE4BD7BF8F0B62E6CE61B9D0CD");
    }

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            SecretSource::File(folder.path().join(name))
        };
        assert!(Secret::read(&file("a", "s3cret\n")).is_ok_and(|secret| secret.reveal() == "s3cret"));
        let gone = SecretSource::File(folder.path().join("gone"));
        for (source, part) in [
            (file("b", "two words"), "one line"),
            (file("c", "\n"), "one line"),
            (gone, "gone"),
            (SecretSource::Variable("HOPGATE_NO_SUCH_SECRET".into()), "not set"),
        ] {
            let Err(problem) = Secret::read(&source) else { panic!("{part}") };
            assert!(problem.contains(part) && !problem.contains("two"), "{problem}");
        }
    }
}
