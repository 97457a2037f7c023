//! Stores in memory, for tests of what reads them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::terms::TermsSource;
use crate::attribution::StoreError;
use crate::attribution::orders::OrderStore;
use crate::attribution::touches::{Subject, TouchStore};
use crate::domain::attribution::Network;
use crate::domain::attribution::entries::youngest;
use crate::domain::attribution::matching::Terms;
use crate::domain::attribution::money::Fen;
use crate::domain::attribution::order::{LineKey, OrderEvent, OrderLine, OrderState, Promotion};
use crate::domain::attribution::touch::{Marks, Touch};
use crate::domain::click_id::ClickId;
use crate::domain::hop::HopFlags;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::{LinkKind, ShopType};

/// Order reports in memory.
#[derive(Default)]
pub struct MemoryOrders {
    events: Mutex<Vec<OrderEvent>>,
    positions: HashMap<(Network, Box<str>), Vec<Subject>>,
}

impl MemoryOrders {
    /// None, with these positions.
    pub fn new(positions: &[(&str, Subject)]) -> Self {
        let mut orders = MemoryOrders::default();
        for (position, subject) in positions {
            for network in Network::ALL {
                orders.positions.entry((*network, (*position).into())).or_default().push(subject.clone());
            }
        }
        orders
    }

    /// Keeps reports, each once.
    pub fn add(&self, lines: &[OrderLine]) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            let hash = ring::digest::digest(&ring::digest::SHA256, &serde_json::to_vec(line).unwrap_or_default());
            let mut event = OrderEvent { seq: events.len() as i64 + 1, hash: [0; 32], line: line.clone() };
            event.hash.copy_from_slice(hash.as_ref());
            if events.iter().all(|known| known.hash != event.hash) {
                events.push(event);
            }
        }
    }

    fn all(&self) -> Vec<OrderEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl OrderStore for MemoryOrders {
    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<OrderEvent>, StoreError> {
        Ok(self.all().into_iter().filter(|event| event.seq > seq).take(limit).collect())
    }

    async fn of_line(&self, key: &LineKey) -> Result<Vec<OrderEvent>, StoreError> {
        let mut events: Vec<_> = self.all().into_iter().filter(|event| event.line.key == *key).collect();
        events.sort_by_key(OrderEvent::age);
        Ok(events)
    }

    async fn created_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<LineKey>, StoreError> {
        let mut lines: HashMap<LineKey, Vec<OrderEvent>> = HashMap::new();
        for event in self.all() {
            lines.entry(event.line.key.clone()).or_default().push(event);
        }
        let created = |events: &[OrderEvent]| youngest(events).map(|event| event.line.created_at);
        let inside = |events: &[OrderEvent]| created(events).is_some_and(|at| from <= at && at < to);
        Ok(lines.into_iter().filter(|(_, events)| inside(events)).map(|(key, _)| key).collect())
    }

    async fn subjects(&self, network: Network, position: &str) -> Result<Vec<Subject>, StoreError> {
        Ok(self.positions.get(&(network, position.into())).cloned().unwrap_or_default())
    }
}

/// Clicks in memory, each with the change that brought it.
#[derive(Default)]
pub struct MemoryTouches(Mutex<Vec<Touch>>);

impl MemoryTouches {
    /// Keeps clicks, each once.
    pub fn add(&self, touches: &[Touch]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for touch in touches {
            if kept.iter().all(|known| known.click != touch.click) {
                kept.push(touch.clone());
            }
        }
    }

    /// Forgets all of them, as a store does of old ones; their changes stay counted.
    pub fn forget(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for touch in kept.iter_mut() {
            touch.creator = "".into();
            touch.code = "".into();
            touch.click = ClickId([0; 16]);
        }
    }

    fn all(&self) -> Vec<Touch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl TouchStore for MemoryTouches {
    async fn of_click(&self, click: ClickId) -> Result<Option<Touch>, StoreError> {
        Ok(self.all().into_iter().find(|touch| touch.click == click))
    }

    async fn latest(
        &self,
        subjects: &[Subject],
        marketplaces: &[Box<str>],
        since: Timestamp,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Touch>, StoreError> {
        let of = |touch: &Touch, subject: &Subject| match subject {
            Subject::Creator(creator) => touch.creator == *creator,
            Subject::Link(code) => touch.code == *code,
        };
        let mut found = self.all();
        found.retain(|touch| marketplaces.is_empty() || marketplaces.contains(&touch.marketplace));
        found.retain(|touch| since <= touch.at && touch.at < before && subjects.iter().any(|one| of(touch, one)));
        found.sort_by_key(|touch| std::cmp::Reverse((touch.at, touch.node.clone(), touch.seq)));
        found.truncate(limit);
        Ok(found)
    }

    async fn changed(&self) -> Result<i64, StoreError> {
        Ok(self.all().len() as i64)
    }

    async fn added_since(&self, change: i64) -> Result<Option<(Timestamp, Timestamp, i64)>, StoreError> {
        let all = self.all();
        let new = all.get(change as usize..).unwrap_or_default();
        let times = || new.iter().map(|touch| touch.at);
        Ok(times().min().zip(times().max()).map(|(first, last)| (first, last, all.len() as i64)))
    }
}

/// The same terms for every click of an agreement.
#[derive(Default)]
pub struct MemoryTerms(pub HashMap<Box<str>, Terms>);

#[async_trait]
impl TermsSource for MemoryTerms {
    async fn of(&self, touch: &Touch) -> Result<Terms, StoreError> {
        Ok(self.0.get(&touch.agreement).cloned().unwrap_or_default())
    }
}

/// An hour after a beginning, which is 2026-10-01 00:00 in Beijing.
pub fn hour(hour: i64) -> Timestamp {
    Timestamp::from_millis(1_790_784_000_000 + hour * 3_600_000)
}

/// A click of a creator.
pub fn touch(number: u32, creator: &str, at: Timestamp) -> Touch {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&(number + 1).to_be_bytes());
    Touch {
        click: ClickId(id),
        at,
        node: "n1".into(),
        seq: u64::from(number),
        code: format!("link-{creator}").into(),
        creator: creator.into(),
        platform: "xiaohongshu".into(),
        surface: "note".into(),
        marketplace: "taobao".into(),
        shop_type: ShopType::Unknown,
        link_kind: LinkKind::Item,
        category: "".into(),
        facts: "".into(),
        item: "".into(),
        shop: "".into(),
        agreement: "".into(),
        policy_version: 1,
        flags: HopFlags::default(),
        marks: Marks::default(),
        note: "note-1".into(),
    }
}

/// A paid order line over a position.
pub fn line(name: &str, position: &str, created: Timestamp, estimated: i64) -> OrderLine {
    OrderLine {
        key: LineKey { network: Network::Taobao, account: "default".into(), line: name.into() },
        order: format!("order-{name}").into(),
        parent: "".into(),
        state: OrderState::Paid,
        raw_state: "12".into(),
        refunded: false,
        created_at: created,
        paid_at: Some(created),
        completed_at: None,
        settled_at: None,
        modified_at: created,
        clicked_at: None,
        marketplace: "taobao".into(),
        item: "1".into(),
        title: "".into(),
        shop: "shop-1".into(),
        shop_name: "".into(),
        quantity: 1,
        returned: 0,
        paid: Some(Fen(estimated * 20)),
        estimated: Fen(estimated),
        confirmed: None,
        promotion: Promotion { position: position.into(), ..Promotion::default() },
    }
}
