//! One event as each platform wants to be told: method, query, body and what a good answer looks like. Pure. What came with
//! the click goes into a query value, percent-encoded, or into a JSON text: nowhere else.

use http::Method;
use serde_json::{Map, Value, json};

use super::told::Told;
use crate::config::postbacks::{PostbackPlatform, PostbackSettings};
use crate::config::webhooks::EventKind;
use crate::domain::percent;
use crate::domain::span::Span;
use crate::domain::time::Timestamp;

/// What is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// How.
    pub method: Method,
    /// What is put behind the address's query.
    pub query: String,
    /// The body; empty for none.
    pub body: String,
}

/// Why there is nothing to send, however often it is tried.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Useless {
    /// The click brought nothing that the platform would know it by.
    #[error("the click came without what the platform would know it by")]
    NoParameter,
    /// The settings do not say any more what the platform calls this.
    #[error("`event_types` says nothing of this event any more: add it, then `hopgate postback retry`")]
    NoType,
    /// Too long ago for the platform.
    #[error("more than an hour since the event: the platform takes it within one hour only")]
    TooLate,
}

/// Xiaohongshu takes an event within an hour.
pub const XIAOHONGSHU_TAKES: Span = Span::ONE_HOUR;

/// What a platform knows the click by; `None` when the click did not bring it.
pub fn parameter(platform: PostbackPlatform, told: &Told) -> Option<&str> {
    let (callback, click_id) = (told.callback.as_deref(), told.click_id.as_deref());
    match platform {
        PostbackPlatform::Kuaishou => callback,
        PostbackPlatform::OceanEngine | PostbackPlatform::Generic => callback.or(click_id),
        PostbackPlatform::Xiaohongshu => click_id,
    }
}

/// The request that tells `settings` of an event.
///
/// # Errors
/// [`Useless`].
pub fn call(
    settings: &PostbackSettings,
    kind: EventKind,
    at: Timestamp,
    told: &Told,
    now: Timestamp,
) -> Result<Call, Useless> {
    let known_by = parameter(settings.platform, told).ok_or(Useless::NoParameter)?;
    let event_type = settings.event_types.get(&kind).ok_or(Useless::NoType)?;
    match settings.platform {
        PostbackPlatform::Xiaohongshu if now > XIAOHONGSHU_TAKES.after(at) => Err(Useless::TooLate),
        PostbackPlatform::Xiaohongshu => {
            let mut body = settings.fields.clone().into_iter().collect::<Map<String, Value>>();
            if let Some(advertiser) = &told.advertiser {
                body.insert("advertiser_id".to_owned(), json!(advertiser));
            }
            if let Some(os) = &told.os {
                body.insert("os".to_owned(), json!(os));
            }
            body.insert("click_id".to_owned(), json!(known_by));
            body.insert("event_type".to_owned(), event_type.clone());
            body.insert("timestamp".to_owned(), json!(at.millis()));
            Ok(Call { method: Method::POST, query: String::new(), body: Value::Object(body).to_string() })
        }
        PostbackPlatform::OceanEngine => {
            let mut body = settings.fields.clone().into_iter().collect::<Map<String, Value>>();
            body.insert("event_type".to_owned(), event_type.clone());
            body.insert("context".to_owned(), json!({"ad": {"callback": known_by}}));
            body.insert("timestamp".to_owned(), json!(at.millis()));
            Ok(Call { method: Method::POST, query: String::new(), body: Value::Object(body).to_string() })
        }
        PostbackPlatform::Kuaishou | PostbackPlatform::Generic => {
            let mut parameters: Vec<(&str, String)> =
                settings.fields.iter().map(|(name, value)| (name.as_str(), plain(value))).collect();
            parameters.push(("callback", known_by.to_owned()));
            parameters.push(("event_type", plain(event_type)));
            parameters.push(("event_time", at.millis().to_string()));
            // An amount nobody told is none of 0.00.
            if let Some(yuan) = told.paid_yuan.as_ref().filter(|_| kind == EventKind::OrderPaid) {
                parameters.push(("purchase_amount", yuan.clone()));
            }
            let mut query = String::new();
            for (name, value) in parameters {
                if !query.is_empty() {
                    query.push('&');
                }
                percent::encode(name, &mut query);
                query.push('=');
                percent::encode(&value, &mut query);
            }
            Ok(Call { method: Method::GET, query, body: String::new() })
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is wrong with an answer of 2xx; `None` when the platform took the event.
pub fn objection(platform: PostbackPlatform, body: &[u8]) -> Option<String> {
    let shown = || String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(120).collect::<String>();
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| answer.as_ref().and_then(|answer| answer.get(name)).map(plain);
    let taken = match platform {
        PostbackPlatform::Kuaishou => field("result").as_deref() == Some("1"),
        // Both say `code: 0`; one that says nothing of a code is taken by its status.
        PostbackPlatform::OceanEngine => field("code").is_none_or(|code| code == "0"),
        PostbackPlatform::Xiaohongshu => {
            field("code").is_none_or(|code| code == "0") && field("success").is_none_or(|success| success == "true")
        }
        PostbackPlatform::Generic => true,
    };
    (!taken).then(|| format!("the answer says `{}`", shown()))
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::matched;
    use super::*;
    use crate::config::webhooks::WebhookSettings;
    use crate::domain::attribution::order::OrderState;

    fn settings(platform: PostbackPlatform) -> PostbackSettings {
        let receiver = WebhookSettings {
            name: "p".into(),
            url: "https://fixed.example/track".parse().unwrap(),
            secrets: Vec::new(),
            events: EventKind::OF_ORDERS.to_vec(),
            allow_private: false,
            allow_http: false,
            ca_file: None,
            give_up_after: Span::days(1),
        };
        let event_types = [(EventKind::OrderPaid, json!(15))].into();
        PostbackSettings { receiver, platform, event_types, fields: [("scene".to_owned(), json!(101))].into() }
    }

    #[test]
    fn a_callback_is_a_parameter_whatever_it_says() {
        let hostile = "http%3A%2F%2F169.254.169.254%2F%3Fx%3D1%26event_type%3D3%23%0D%0AHost%3A%20evil%20%22%5C";
        let told = Told::new(&matched(OrderState::Paid), "ours".into(), &format!("callback={hostile}"));
        let at = Timestamp::from_millis(1_668_441_600_123);
        let call = |platform| call(&settings(platform), EventKind::OrderPaid, at, &told, at);
        let kuaishou = call(PostbackPlatform::Kuaishou).unwrap();
        assert_eq!(
            kuaishou.query,
            format!("scene=101&callback={hostile}&event_type=15&event_time=1668441600123&purchase_amount=123.45")
        );
        assert_eq!((kuaishou.method, kuaishou.body.as_str()), (Method::GET, ""));
        let mut unsaid = matched(OrderState::Paid);
        unsaid.line.paid = None;
        let unsaid = Told::new(&unsaid, "ours".into(), "callback=c");
        let told_of =
            super::call(&settings(PostbackPlatform::Kuaishou), EventKind::OrderPaid, at, &unsaid, at).unwrap();
        assert_eq!(told_of.query, "scene=101&callback=c&event_type=15&event_time=1668441600123");
        let ours = serde_json::to_value(&unsaid).unwrap();
        assert!(ours.get("paid_fen").is_none() && ours.get("paid_yuan").is_none(), "unknown is not 0: {ours}");
        assert_eq!(serde_json::from_value::<Told>(ours).unwrap(), unsaid);
        let ocean = call(PostbackPlatform::OceanEngine).unwrap();
        let body: Value = serde_json::from_str(&ocean.body).unwrap();
        assert_eq!(body["context"]["ad"]["callback"], "http://169.254.169.254/?x=1&event_type=3#\r\nHost: evil \"\\");
        assert_eq!((&body["event_type"], &body["timestamp"]), (&json!(15), &json!(1_668_441_600_123_i64)));
        assert!(!ocean.body.contains('\r') && ocean.query.is_empty());
        assert_eq!(call(PostbackPlatform::Xiaohongshu), Err(Useless::NoParameter));
        let other = super::call(&settings(PostbackPlatform::Kuaishou), EventKind::OrderReversed, at, &told, at);
        assert_eq!(other, Err(Useless::NoType));
    }

    #[test]
    fn xiaohongshu_is_told_within_an_hour_or_not_at_all() {
        let told = Told::new(&matched(OrderState::Paid), "ours".into(), "account=42&click_id=atest1&os=ios");
        let settings = settings(PostbackPlatform::Xiaohongshu);
        let at = Timestamp::from_millis(1_000);
        let late = at.plus_micros(3_600_000_001);
        assert_eq!(call(&settings, EventKind::OrderPaid, at, &told, late), Err(Useless::TooLate));
        let call = call(&settings, EventKind::OrderPaid, at, &told, at).unwrap();
        let expected = json!({"advertiser_id": "42", "click_id": "atest1", "event_type": 15, "os": "ios", "scene": 101,
            "timestamp": 1_000});
        assert_eq!(serde_json::from_str::<Value>(&call.body).unwrap(), expected);
    }

    #[test]
    fn only_a_good_answer_is_one() {
        for (platform, body, taken) in [
            (PostbackPlatform::Kuaishou, "{\"result\":1}", true),
            (PostbackPlatform::Kuaishou, "{\"result\":11,\"error_msg\":\"no\"}", false),
            (PostbackPlatform::Kuaishou, "", false),
            (PostbackPlatform::OceanEngine, "{\"code\":0}", true),
            (PostbackPlatform::OceanEngine, "{\"code\":40000}", false),
            (PostbackPlatform::Xiaohongshu, "{\"code\":0,\"success\":true}", true),
            (PostbackPlatform::Xiaohongshu, "{\"code\":0,\"success\":false}", false),
            (PostbackPlatform::Generic, "anything", true),
        ] {
            assert_eq!(objection(platform, body.as_bytes()).is_none(), taken, "{platform} {body}");
        }
    }
}
