//! What is asked of a network: the parameters of one page of one stretch of time, signed. Never sends anything.

use std::collections::BTreeMap;

use serde_json::json;

use super::sign::{Secret, sign};
use crate::config::alliances::SignMethod;
use crate::domain::attribution::Network;
use crate::domain::percent;
use crate::domain::time::Timestamp;
use crate::domain::vocabulary::closed_list;

closed_list! {
    /// By which of a row's times it is asked for.
    By {
        /// The time of its last change: every change is met.
        Changed = "changed",
        /// The time of its payment, a day later: a net under the first.
        Paid = "paid",
    }
}

/// What is asked for again and again, each with a cursor of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Query {
    /// By which time.
    pub by: By,
    /// Taobao's `order_scene`; 0 where there is none.
    pub scene: u8,
}

impl std::fmt::Display for Query {
    /// `changed`, `paid/2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.scene {
            0 => write!(f, "{}", self.by),
            scene => write!(f, "{}/{scene}", self.by),
        }
    }
}

/// A stretch of time, half-open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Window {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant behind it.
    pub to: Timestamp,
}

/// Where in a stretch a page lies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Its number, from 1.
    pub number: u32,
    /// What the page before said of this one.
    pub position: Option<String>,
}

/// Whose requests these are.
pub struct Signer {
    /// Where they go.
    pub network: Network,
    /// The application's key.
    pub app_key: String,
    /// The application's secret.
    pub secret: Secret,
    /// Session or access token.
    pub token: Option<Secret>,
    /// How they are signed.
    pub method: SignMethod,
    /// Rows of a page.
    pub page_size: u32,
}

/// The networks' times: Beijing, to the second.
pub(super) fn clock_text(at: Timestamp) -> String {
    at.beijing().map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

impl Signer {
    /// The form of one page, signed at `now`.
    pub fn form(&self, query: Query, window: Window, place: &Place, now: Timestamp) -> String {
        let mut parameters = match self.network {
            Network::Jd => self.jd(window, place),
            _ => self.taobao(query, window, place),
        };
        parameters.insert("app_key", self.app_key.clone());
        parameters.insert("timestamp", clock_text(now));
        parameters.insert("format", "json".to_owned());
        parameters.insert("sign_method", self.method.as_str().to_owned());
        let signature = sign(&self.secret, self.method, &parameters);
        parameters.insert("sign", signature);
        let mut form = String::new();
        for (name, value) in &parameters {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            percent::encode(value, &mut form);
        }
        form
    }

    fn taobao(&self, query: Query, window: Window, place: &Place) -> BTreeMap<&'static str, String> {
        let query_type = match query.by {
            By::Paid => "2",
            By::Changed => "4",
        };
        let mut parameters = BTreeMap::from([
            ("method", "taobao.tbk.order.details.get".to_owned()),
            ("v", "2.0".to_owned()),
            ("query_type", query_type.to_owned()),
            ("start_time", clock_text(window.from)),
            ("end_time", clock_text(window.to)),
            ("page_no", place.number.to_string()),
            ("page_size", self.page_size.to_string()),
            ("order_scene", query.scene.max(1).to_string()),
        ]);
        if let Some(position) = &place.position {
            parameters.insert("position_index", position.clone());
            parameters.insert("jump_type", "1".to_owned());
        }
        if let Some(token) = &self.token {
            parameters.insert("session", token.reveal().to_owned());
        }
        parameters
    }

    fn jd(&self, window: Window, place: &Place) -> BTreeMap<&'static str, String> {
        let asked = json!({"orderReq": {
            "pageIndex": place.number,
            "pageSize": self.page_size,
            "type": 3,
            "startTime": clock_text(window.from),
            "endTime": clock_text(window.to),
            "fields": "goodsInfo,categoryInfo",
        }});
        let mut parameters = BTreeMap::from([
            ("method", "jd.union.open.order.row.query".to_owned()),
            ("v", "1.0".to_owned()),
            ("360buy_param_json", asked.to_string()),
        ]);
        if let Some(token) = &self.token {
            parameters.insert("access_token", token.reveal().to_owned());
        }
        parameters
    }
}

/// Everything that is asked of a network.
pub fn queries(network: Network, scenes: &[u8]) -> Vec<Query> {
    match network {
        Network::Jd => vec![Query { by: By::Changed, scene: 0 }],
        _ => {
            let of = |by| scenes.iter().map(move |scene| Query { by, scene: *scene });
            of(By::Changed).chain(of(By::Paid)).collect()
        }
    }
}
