//! How receivers know who says so: the symmetric signature of the Standard Webhooks specification 1.0, HMAC-SHA256 over
//! `id.timestamp.body`. Never writes a secret anywhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::config::webhooks::SecretSource;

/// Bytes of a secret, as the specification has them.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a secret cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("secret_file {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        problem: String,
    },
    /// Its variable is not set.
    #[error("secret_env {0}: the variable is not set")]
    Variable(String),
    /// It is not of the right form. What it holds is not shown.
    #[error("{0}: is no secret: write `whsec_` and 24 to 64 random bytes as base64, e.g. of `openssl rand -base64 32`")]
    Form(String),
}

/// The secrets of one webhook, the newest first. Has no `Debug`, so that none can slip into a log.
#[derive(Clone)]
pub struct Secrets(Vec<hmac::Key>);

impl Secrets {
    /// Reads every source.
    ///
    /// # Errors
    /// Every source that cannot be used.
    pub fn read(sources: &[SecretSource]) -> Result<Self, Vec<SecretError>> {
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for source in sources {
            let (place, text) = match source {
                SecretSource::File(path) => {
                    let place = path.display().to_string();
                    match std::fs::read_to_string(path) {
                        Ok(text) => (format!("secret_file {place}"), text),
                        Err(error) => {
                            faults.push(SecretError::File { path: place, problem: error.to_string() });
                            continue;
                        }
                    }
                }
                SecretSource::Variable(name) => match std::env::var(name) {
                    Ok(text) => (format!("secret_env {name}"), text),
                    Err(_) => {
                        faults.push(SecretError::Variable(name.clone()));
                        continue;
                    }
                },
            };
            match key(&text) {
                Some(key) => keys.push(key),
                None => faults.push(SecretError::Form(place)),
            }
        }
        if faults.is_empty() { Ok(Secrets(keys)) } else { Err(faults) }
    }

    /// The header `webhook-signature`: one signature a secret, so that receivers may change theirs in their own time.
    pub fn header(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let signatures = self.0.iter().map(|key| format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes()))));
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn key(text: &str) -> Option<hmac::Key> {
    let text = text.trim();
    let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
    BYTES.contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector the specification's own libraries are tested with.
    #[test]
    fn the_published_vector_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            SecretSource::File(folder.path().join(name))
        };
        let published = file("a", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
        let secrets = Secrets::read(std::slice::from_ref(&published)).unwrap_or_else(|_| panic!("a good secret"));
        let header =
            |secrets: &Secrets| secrets.header("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(header(&secrets), expected);

        let other = file("b", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let both = Secrets::read(&[other, published]).unwrap_or_else(|_| panic!("two good secrets"));
        let signatures = header(&both);
        let signatures: Vec<&str> = signatures.split(' ').collect();
        assert!(signatures.len() == 2 && signatures[1] == expected && signatures[0] != expected, "{signatures:?}");

        let gone = SecretSource::File(folder.path().join("gone"));
        let bad = [gone, file("c", "whsec_c2hvcnQ="), SecretSource::Variable("HOPGATE_NO_SUCH_SECRET".into())];
        let Err(faults) = Secrets::read(&bad) else { panic!("three bad ones") };
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("gone") && told[1].contains("openssl") && told[2].contains("not set"), "{told:?}");
        assert!(!told[1].contains("c2hvcnQ"), "a secret is never shown");
    }
}
