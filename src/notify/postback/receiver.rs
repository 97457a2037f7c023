//! Sends one event to one receiver of postbacks: the request its platform wants, to the address of the settings.

use async_trait::async_trait;
use ring::hmac;
use serde::Deserialize;

use super::super::client::{Answer, Client, Line, SendError};
use super::super::courier::Receiver;
use super::super::outbox::Due;
use super::super::target::Target;
use super::request::{XIAOHONGSHU_TAKES, call, objection};
use super::told::Told;
use crate::config::postbacks::{PostbackPlatform, PostbackSettings};
use crate::config::tree::Fault;
use crate::config::webhooks::SecretSource;
use crate::domain::time::Timestamp;
use crate::outbound::Tls;

/// An event as the outbox has it.
#[derive(Deserialize)]
struct Kept {
    at: Timestamp,
    data: Told,
}

fn kept(due: &Due) -> Result<Kept, SendError> {
    serde_json::from_str(&due.body).map_err(|error| SendError::Useless(format!("the event cannot be read: {error}")))
}

/// A platform that is told in its own way.
struct Platform {
    settings: PostbackSettings,
    line: Line,
    /// Signs for Xiaohongshu, where it asks for that. Has no `Debug`.
    key: Option<hmac::Key>,
}

#[async_trait]
impl Receiver for Platform {
    fn name(&self) -> &str {
        &self.settings.receiver.name
    }

    fn sort(&self) -> &'static str {
        "postback"
    }

    fn last(&self, due: &Due) -> Timestamp {
        let usual = self.settings.receiver.give_up_after.after(due.since);
        match (self.settings.platform, kept(due)) {
            (PostbackPlatform::Xiaohongshu, Ok(kept)) => usual.min(XIAOHONGSHU_TAKES.after(kept.at)),
            _ => usual,
        }
    }

    async fn send(&self, due: &Due, now: Timestamp) -> Result<Answer, SendError> {
        let kept = kept(due)?;
        let call = call(&self.settings, due.kind, kept.at, &kept.data, now);
        let call = call.map_err(|useless| SendError::Useless(useless.to_string()))?;
        let mut request = self.line.request(call.method, &call.query);
        if let Some(key) = &self.key {
            let signature = hmac::sign(key, call.body.as_bytes());
            let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            request = request.header("X-Red-Signature", hex);
        }
        let (answer, body) = self.line.send(request, &call.body).await?;
        match objection(self.settings.platform, &body) {
            Some(problem) if answer.status.is_success() => Err(SendError::NotTaken(problem)),
            _ => Ok(answer),
        }
    }
}

/// One that is told our own JSON, signed as webhooks are.
struct Generic(Client);

#[async_trait]
impl Receiver for Generic {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn sort(&self) -> &'static str {
        "postback"
    }

    fn last(&self, due: &Due) -> Timestamp {
        Receiver::last(&self.0, due)
    }

    async fn send(&self, due: &Due, now: Timestamp) -> Result<Answer, SendError> {
        Receiver::send(&self.0, due, now).await
    }
}

/// Receivers of all postbacks, in the order of the settings.
///
/// # Errors
/// Every secret and certificate that cannot be used.
pub fn receivers(postbacks: &[PostbackSettings]) -> Result<Vec<Box<dyn Receiver>>, Vec<Fault>> {
    let (mut receivers, mut faults): (Vec<Box<dyn Receiver>>, Vec<Fault>) = (Vec::new(), Vec::new());
    for settings in postbacks {
        match receiver(settings) {
            Ok(receiver) => receivers.push(receiver),
            Err(problems) => faults.extend(problems.into_iter().map(|problem| {
                let (file, field) = ("postbacks".to_owned(), settings.receiver.name.clone());
                Fault { file, line: 1, field, problem }
            })),
        }
    }
    if faults.is_empty() { Ok(receivers) } else { Err(faults) }
}

fn receiver(settings: &PostbackSettings) -> Result<Box<dyn Receiver>, Vec<String>> {
    let one = |problem: String| vec![problem];
    if settings.platform == PostbackPlatform::Generic {
        let target = Target::new(settings.receiver.clone())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        return Ok(Box::new(Generic(Client::new(target).map_err(|error| one(error.to_string()))?)));
    }
    let tls = Tls::new(settings.receiver.ca_file.as_deref()).map_err(|error| one(error.to_string()))?;
    let key = match settings.receiver.secrets.first() {
        Some(source) => Some(key(source).map_err(one)?),
        None => None,
    };
    let line = Line::new(settings.receiver.url.clone(), settings.receiver.allow_private, tls);
    Ok(Box::new(Platform { settings: settings.clone(), line, key }))
}

/// HMAC-SHA1 is what the platform's own scheme is; nothing of ours is.
fn key(source: &SecretSource) -> Result<hmac::Key, String> {
    let (place, text) = match source {
        SecretSource::File(path) => {
            let place = format!("secret_file {}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
            (place, text)
        }
        SecretSource::Variable(name) => {
            let place = format!("secret_env {name}");
            let text = std::env::var(name).map_err(|_| format!("{place}: the variable is not set"))?;
            (place, text)
        }
    };
    if text.trim().is_empty() {
        return Err(format!("{place}: is empty"));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, text.trim().as_bytes()))
}
