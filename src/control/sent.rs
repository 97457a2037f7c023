//! How a permitted click would be sent on to a visitor: the same functions as a live click's, for questions.

use serde::Serialize;

use super::decision::{Explained, LandingView};
use crate::click::landings::{Permitted, Sent, send};
use crate::domain::device::{Device, HostApp, Os};
use crate::domain::landing::Way;
use crate::domain::landing::address::Target;
use crate::domain::landing::matrix::{Host, Matrix};
use crate::domain::vocabulary::{LandingMode, Vocabulary};

/// How a visitor would be sent on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SentView {
    /// The way.
    pub way: Way,
    /// The answer's status: 302, or 200 for a page.
    pub status: u16,
    /// Where the redirect or the page's first button leads.
    pub address: String,
}

/// The device a question names. An app without a system is one whose system is not known; a system alone is its browser.
pub fn device(host: Option<Host>, os: Option<Os>) -> Option<Device> {
    if host.is_none() && os.is_none() {
        return None;
    }
    let host_app = host.map_or(HostApp::Browser, Host::app);
    let chromium = host == Some(Host::CHROMIUM);
    let os = os.unwrap_or(if chromium { Os::Android } else { Os::Unknown });
    Some(Device { app: host_app, os, chromium, ..Device::UNKNOWN })
}

/// How a visitor with `device` would be sent on to `landing`, which an agreement that asks for `mode` permits. None where
/// the landing has no address.
pub fn sent(
    mode: LandingMode,
    landing: &LandingView,
    device: Device,
    matrix: &Matrix,
    words: &Vocabulary,
) -> Option<SentView> {
    let url = landing.url.as_deref()?;
    let marketplace = words.marketplace(&landing.marketplace)?;
    let way = matrix.way(mode, Host::of(&device), device.os, marketplace);
    let click = Permitted {
        marketplace,
        target: Target { url, item: landing.item_id.as_deref().unwrap_or_default(), kind: landing.link_kind },
        device,
        short: None,
        share_code: "",
    };
    let sent = send(way, &click, words);
    let status = if matches!(sent, Sent::Page(_)) { 200 } else { 302 };
    Some(SentView { way: sent.way(), status, address: sent.address(url).to_owned() })
}

impl Explained {
    /// Says how a visitor with `device` would be sent on: to the landing that is taken, and to every other permitted one.
    pub fn send_on(&mut self, device: Device, matrix: &Matrix, words: &Vocabulary) {
        let to = |mode: Option<LandingMode>, landing: &LandingView| sent(mode?, landing, device, matrix, words);
        self.sent = to(self.mode, &self.landing);
        for landing in &mut self.alternates {
            landing.sent = to(landing.mode, &landing.landing);
        }
    }
}
