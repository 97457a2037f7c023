//! What there is to tell of a matched line: which events it has come to, when, and what belongs to them. Pure.

use serde::{Deserialize, Serialize};

use crate::attribution::announce::Matched;
use crate::config::webhooks::EventKind;
use crate::domain::attribution::order::{OrderLine, OrderState};
use crate::domain::macros::{MacroField, said};
use crate::domain::time::Timestamp;

/// What an event tells, in our own words; a platform's request is made of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Told {
    /// The network the order was reported by.
    pub network: String,
    /// Our account there.
    pub account: String,
    /// The line.
    pub line: String,
    /// The order.
    pub order: String,
    /// Our id of the click.
    pub click: String,
    /// When the click was made.
    pub clicked_at: Timestamp,
    /// How the two were matched.
    pub method: String,
    /// The link's code.
    pub code: String,
    /// The link's creator.
    pub creator: String,
    /// Where the click was made.
    pub platform: String,
    /// The goods' marketplace.
    pub marketplace: String,
    /// The goods.
    pub item: String,
    /// Pieces.
    pub quantity: u32,
    /// What was paid, in yuan; not told where the report does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_yuan: Option<String>,
    /// What was paid, in fen; not told where the report does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_fen: Option<i64>,
    /// What the platform wants back, as it came with the click.
    pub callback: Option<String>,
    /// The platform's own id of the click, as it came with it.
    pub click_id: Option<String>,
    /// The advertiser's account, as it came with the click.
    pub advertiser: Option<String>,
    /// The operating system, as the platform saw it.
    pub os: Option<String>,
}

impl Told {
    /// What is told of a line whose click had these parameters; `click` is our id of it.
    pub fn new(matched: &Matched, click: String, macros: &str) -> Self {
        let Matched { line, touch, method } = matched;
        Told {
            network: line.key.network.to_string(),
            account: line.key.account.to_string(),
            line: line.key.line.to_string(),
            order: line.order.to_string(),
            click,
            clicked_at: touch.at,
            method: method.to_string(),
            code: touch.code.to_string(),
            creator: touch.creator.to_string(),
            platform: touch.platform.to_string(),
            marketplace: line.marketplace.to_string(),
            item: line.item.to_string(),
            quantity: line.quantity,
            paid_yuan: line.paid.map(|fen| fen.to_string()),
            paid_fen: line.paid.map(|fen| fen.0),
            callback: said(macros, MacroField::Callback),
            click_id: said(macros, MacroField::ClickId),
            advertiser: said(macros, MacroField::Account),
            os: said(macros, MacroField::Os),
        }
    }
}

/// Whether nothing of a line is left: closed, or all of it given back.
fn is_reversed(line: &OrderLine) -> bool {
    line.state == OrderState::Invalid || (line.refunded && (line.returned == 0 || line.returned >= line.quantity))
}

/// The events a line has come to, each with its instant. A line that was first seen late has come to the earlier ones as
/// well; one that was reversed says that alone.
pub fn reached(line: &OrderLine) -> Vec<(EventKind, Timestamp)> {
    if is_reversed(line) {
        return vec![(EventKind::OrderReversed, line.modified_at)];
    }
    let paid = line.paid_at.unwrap_or(line.created_at);
    let completed = line.completed_at.or(line.settled_at).unwrap_or(line.modified_at);
    let all = [
        (OrderState::Pending, EventKind::OrderSubmitted, line.created_at),
        (OrderState::Paid, EventKind::OrderPaid, paid),
        (OrderState::Completed, EventKind::OrderCompleted, completed),
    ];
    all.into_iter().filter(|(state, ..)| *state <= line.state).map(|(_, kind, at)| (kind, at)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::attribution::Network;
    use crate::domain::attribution::money::Fen;
    use crate::domain::attribution::order::{LineKey, Promotion};
    use crate::domain::attribution::touch::{Marks, Touch};
    use crate::domain::click_id::ClickId;
    use crate::domain::hop::HopFlags;
    use crate::domain::vocabulary::{LinkKind, ShopType};

    /// A line in this state, all of it at minutes after the epoch.
    pub fn matched(state: OrderState) -> Matched {
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        let line = OrderLine {
            key: LineKey { network: Network::Jd, account: "default".into(), line: "L1".into() },
            order: "O1".into(),
            parent: "".into(),
            state,
            raw_state: "16".into(),
            refunded: false,
            created_at: at(10),
            paid_at: Some(at(11)),
            completed_at: Some(at(30)),
            settled_at: None,
            modified_at: at(40),
            clicked_at: None,
            marketplace: "jd".into(),
            item: "100012043978".into(),
            title: "".into(),
            shop: "".into(),
            shop_name: "".into(),
            quantity: 2,
            returned: 0,
            paid: Some(Fen(12_345)),
            estimated: Fen(500),
            confirmed: None,
            promotion: Promotion::default(),
        };
        let touch = Touch {
            click: ClickId([7; 16]),
            at: at(5),
            node: "node-1".into(),
            seq: 1,
            code: "abc".into(),
            creator: "c1".into(),
            platform: "kuaishou".into(),
            surface: "live_cart".into(),
            marketplace: "jd".into(),
            shop_type: ShopType::Unknown,
            link_kind: LinkKind::Item,
            category: "".into(),
            facts: "".into(),
            item: "100012043978".into(),
            shop: "".into(),
            agreement: "wide".into(),
            policy_version: 1,
            flags: HopFlags::default(),
            marks: Marks::default(),
            note: "".into(),
        };
        Matched { line, touch, method: "click_id".into() }
    }

    #[test]
    fn a_line_says_all_it_has_come_to() {
        let kinds = |line: &OrderLine| -> Vec<(EventKind, i64)> {
            reached(line).into_iter().map(|(kind, at)| (kind, at.millis() / 60_000)).collect()
        };
        let of = |state| kinds(&matched(state).line);
        assert_eq!(of(OrderState::Pending), [(EventKind::OrderSubmitted, 10)]);
        assert_eq!(of(OrderState::Paid), [(EventKind::OrderSubmitted, 10), (EventKind::OrderPaid, 11)]);
        assert_eq!(of(OrderState::Settled)[2], (EventKind::OrderCompleted, 30));
        assert_eq!(of(OrderState::Invalid), [(EventKind::OrderReversed, 40)]);
        let mut line = matched(OrderState::Completed).line;
        line.refunded = true;
        line.returned = 1;
        assert_eq!(kinds(&line).len(), 3, "a part given back is an order still");
        line.returned = 2;
        assert_eq!(kinds(&line), [(EventKind::OrderReversed, 40)]);
    }

    #[test]
    fn what_came_with_the_click_is_told_decoded() {
        let macros = "account=42&callback=http%3A%2F%2Fevil.test%2F%3Fa%3Db%0D%0AX%3A1&click_id=c*&os=ios";
        let told = Told::new(&matched(OrderState::Paid), "ours".into(), macros);
        assert_eq!(told.callback.as_deref(), Some("http://evil.test/?a=b\r\nX:1"));
        assert_eq!((told.click_id, told.advertiser.as_deref(), told.os.as_deref()), (None, Some("42"), Some("ios")));
        assert_eq!((told.paid_yuan.as_deref(), told.paid_fen), (Some("123.45"), Some(12_345)));
    }
}
