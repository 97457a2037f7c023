//! Settings of postbacks: which platform is told of orders that its clicks led to, where and as what. Reads and checks what
//! is written; never reads a secret or connects. The address is fixed here and comes from nowhere else.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::tree::{Field, Table};
use super::webhooks::{EventKind, SecretSource, WebhookSettings, name, target};
use crate::domain::span::Span;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// How a receiver of postbacks wants to be told.
    PostbackPlatform {
        /// Kuaishou's ads (磁力引擎).
        Kuaishou = "kuaishou",
        /// Ocean Engine (巨量引擎), Douyin's ads.
        OceanEngine = "ocean_engine",
        /// Xiaohongshu's ads (聚光).
        Xiaohongshu = "xiaohongshu",
        /// Any other: our own JSON, signed as webhooks are.
        Generic = "generic",
    }
}

impl PostbackPlatform {
    /// The platform whose clicks it is told of; `None` for every one.
    pub const fn clicks_of(self) -> Option<&'static str> {
        match self {
            PostbackPlatform::Kuaishou => Some("kuaishou"),
            PostbackPlatform::OceanEngine => Some("douyin"),
            PostbackPlatform::Xiaohongshu => Some("xiaohongshu"),
            PostbackPlatform::Generic => None,
        }
    }

    /// Where it usually listens.
    const fn usual_target(self) -> Option<&'static str> {
        match self {
            PostbackPlatform::Kuaishou => Some("https://ad.partner.gifshow.com/track/activate"),
            PostbackPlatform::OceanEngine => Some("https://analytics.oceanengine.com/api/v2/conversion"),
            PostbackPlatform::Xiaohongshu => Some("https://adapi.xiaohongshu.com/api/open/conversion"),
            PostbackPlatform::Generic => None,
        }
    }

    /// What it calls an event, where that is published.
    fn usual_type(self, kind: EventKind) -> Option<Value> {
        match (self, kind) {
            (PostbackPlatform::Kuaishou, EventKind::OrderSubmitted) => Some(14.into()),
            (PostbackPlatform::Kuaishou, EventKind::OrderPaid) => Some(15.into()),
            _ => None,
        }
    }
}

/// One receiver of postbacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostbackSettings {
    /// Name, address, secrets and the like, as for webhooks; its events are those of orders.
    pub receiver: WebhookSettings,
    /// How it is told.
    pub platform: PostbackPlatform,
    /// What it calls the events.
    pub event_types: BTreeMap<EventKind, Value>,
    /// What is told beside, the same every time.
    pub fields: BTreeMap<String, Value>,
}

/// The most postbacks; label sets of metrics stay bounded.
const MOST: usize = 32;
/// An event is remembered for 30 days: what is older than this is never told, so that nothing is told twice.
const LONGEST: Span = Span::days(29);

/// Names of events as settings have them: `order_paid`.
fn kind(text: &str) -> Option<EventKind> {
    EventKind::OF_ORDERS.into_iter().find(|kind| kind.as_str().replace('.', "_") == text)
}

const KINDS: [&str; 4] = ["order_submitted", "order_paid", "order_completed", "order_reversed"];

/// Reads `[[postbacks]]`.
pub(super) fn read(field: &Field<'_>, base: &Path) -> Vec<PostbackSettings> {
    let entries = field.list().unwrap_or_default();
    if entries.len() > MOST {
        field.fault(format!("has {} postbacks: at most {MOST} are possible", entries.len()));
    }
    let mut read: Vec<PostbackSettings> = Vec::new();
    for entry in entries {
        let Some(table) = entry.table() else { continue };
        if let Some(postback) = one(&table, base) {
            let taken = |known: &PostbackSettings| known.receiver.name == postback.receiver.name;
            if read.iter().any(taken) {
                let problem = format!("`{}` is the name of another postback: choose another", postback.receiver.name);
                table.fault("name", problem);
            }
            read.push(postback);
        }
        table.finish();
    }
    read
}

fn one(table: &Table<'_>, base: &Path) -> Option<PostbackSettings> {
    let flag = |key: &'static str| table.get(key).and_then(|field| field.boolean()).unwrap_or(false);
    let (allow_private, allow_http) = (flag("allow_private"), flag("allow_http"));
    let name = table.require("name").and_then(|field| field.parse(name));
    let platforms = PostbackPlatform::names();
    let platform = table.require("platform").and_then(|field| field.one_of(PostbackPlatform::parse, &platforms));
    let check = |text: &str| target(text, allow_private, allow_http);
    let url = match table.get("target") {
        Some(field) => field.parse(check),
        None => match platform.map(PostbackPlatform::usual_target) {
            Some(Some(usual)) => check(usual).ok(),
            Some(None) => {
                table.fault("target", "is missing: name the address that is told");
                None
            }
            None => None,
        },
    };
    let events: Vec<EventKind> = match table.require("events").and_then(|field| field.list()) {
        Some(fields) => fields.iter().filter_map(|field| field.one_of(kind, &KINDS)).collect(),
        None => Vec::new(),
    };
    let event_types = types(table, platform, &events);
    let fields = table.get("fields").and_then(|field| field.table());
    let fields = fields.map(|table| free(&table)).unwrap_or_default();
    let file = table.get("secret_file").and_then(|field| field.text()).map(|file| SecretSource::File(base.join(file)));
    let variable = table.get("secret_env").and_then(|field| field.text());
    let variable = variable.map(|name| SecretSource::Variable(name.to_owned()));
    let secrets: Vec<SecretSource> = file.into_iter().chain(variable).collect();
    match platform {
        Some(PostbackPlatform::Generic) if secrets.is_empty() => {
            table.fault("", "needs `secret_file` or `secret_env`: receivers believe signed events only");
        }
        Some(platform @ (PostbackPlatform::Kuaishou | PostbackPlatform::OceanEngine)) if !secrets.is_empty() => {
            table.fault("", format!("holds a secret, but {platform} does not sign: leave it out"));
        }
        _ => {}
    }
    if secrets.len() > 1 {
        table.fault("secret_env", "stands beside `secret_file`: keep one");
    }
    let ca_file = table.get("ca_file").and_then(|field| field.text()).map(|file| base.join(file));
    let give_up_after = table.get("give_up_after").and_then(|field| {
        let span = field.parse(|text| text.parse::<Span>())?;
        if span > LONGEST {
            field.fault(format!("is {span}: at most {LONGEST}"));
        }
        Some(span)
    });
    let receiver = WebhookSettings {
        name: name?,
        url: url?,
        secrets,
        events,
        allow_private,
        allow_http,
        ca_file,
        give_up_after: give_up_after.unwrap_or(Span::days(3)),
    };
    Some(PostbackSettings { receiver, platform: platform?, event_types, fields })
}

/// What the platform calls each event: as written, else as it is published.
fn types(table: &Table<'_>, platform: Option<PostbackPlatform>, events: &[EventKind]) -> BTreeMap<EventKind, Value> {
    let mut types = BTreeMap::new();
    if let Some(written) = table.get("event_types").and_then(|field| field.table()) {
        for (name, field) in written.free_entries() {
            match (kind(name), value(&field)) {
                (Some(kind), Some(value)) => drop(types.insert(kind, value)),
                (None, _) => field.fault(format!("`{name}` is not known: use one of {}", KINDS.join(", "))),
                (Some(_), None) => {}
            }
        }
    }
    let Some(platform) = platform.filter(|platform| *platform != PostbackPlatform::Generic) else { return types };
    for kind in events {
        if types.contains_key(kind) {
            continue;
        }
        match platform.usual_type(*kind) {
            Some(usual) => drop(types.insert(*kind, usual)),
            None => {
                let name = kind.as_str().replace('.', "_");
                let problem = format!("says nothing of `{name}`: write `{name} = …` as {platform} calls it");
                table.fault("event_types", problem);
            }
        }
    }
    types
}

fn free(table: &Table<'_>) -> BTreeMap<String, Value> {
    table.free_entries().filter_map(|(name, field)| Some((name.to_owned(), value(&field)?))).collect()
}

/// A number or a text, as it will be told.
fn value(field: &Field<'_>) -> Option<Value> {
    field.whole_number().map(Value::from).or_else(|| field.text().map(Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{Fault, Faults, from_toml};

    fn settings(text: &str) -> (Vec<PostbackSettings>, Vec<String>) {
        let faults = Faults::default();
        let node = from_toml("f.toml", text, &faults).unwrap();
        let root = Table::root("f.toml", &node, &faults).unwrap();
        let read = read(&root.get("postbacks").unwrap(), Path::new("base"));
        (read, faults.into_sorted().iter().map(Fault::to_string).collect())
    }

    #[test]
    fn platforms_have_their_address_and_their_names_of_events() {
        let (read, faults) = settings(
            "[[postbacks]]\nname = \"ks\"\nplatform = \"kuaishou\"\nevents = [\"order_paid\", \"order_completed\"]\n\
             event_types = { order_completed = 99 }\n[[postbacks]]\nname = \"xhs\"\nplatform = \"xiaohongshu\"\n\
             events = [\"order_paid\"]\nevent_types = { order_paid = \"pay\" }\nfields = { scene = 101, advertiser_id = \"7\" }\n\
             [[postbacks]]\nname = \"own\"\nplatform = \"generic\"\ntarget = \"https://a.example/x\"\nevents = []\n\
             secret_env = \"OWN\"\n",
        );
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(read[0].receiver.url.as_str(), "https://ad.partner.gifshow.com/track/activate");
        assert_eq!(read[0].event_types[&EventKind::OrderPaid], 15);
        assert_eq!(read[0].event_types[&EventKind::OrderCompleted], 99);
        assert_eq!((&read[1].fields["scene"], &read[1].fields["advertiser_id"]), (&101.into(), &"7".into()));
        assert_eq!(read[1].event_types[&EventKind::OrderPaid], "pay");
        assert_eq!((read[2].receiver.secrets.len(), read[2].platform.clicks_of()), (1, None));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let (_, faults) = settings(
            "[[postbacks]]\nname = \"a b\"\nplatform = \"kuaishuo\"\nevents = [\"click\"]\ngive_up_after = \"60d\"\n\
             [[postbacks]]\nname = \"b\"\nplatform = \"ocean_engine\"\nevents = [\"order_paid\"]\nsecret_env = \"X\"\n\
             target = \"http://127.0.0.1/\"\nevent_types = { order_payed = 1 }\n\
             [[postbacks]]\nname = \"c\"\nplatform = \"generic\"\nevents = []\n",
        );
        let all = faults.join("\n");
        for part in [
            "`a b` is not a name",
            "did you mean `kuaishou`?",
            "events[0]: `click` is not known",
            "give_up_after: is 60d: at most 29d",
            "does not sign",
            "allow_http",
            "`order_payed` is not known",
            "write `order_paid = …` as ocean_engine calls it",
            "target: is missing",
            "needs `secret_file`",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        assert_eq!(faults.len(), 10, "{all}");
    }
}
