//! How a permitted click would be sent on to a visitor: the same functions as a live click's, for questions.

use serde::Serialize;

use super::decision::{Explained, LandingView};
use crate::click::landings::{Permitted, Sent, send};
use crate::config::proxy::ProxySettings;
use crate::domain::device::{Device, HostApp, Os};
use crate::domain::landing::Way;
use crate::domain::landing::address::Target;
use crate::domain::landing::matrix::{Host, Matrix};
use crate::domain::tried::MAIN;
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

/// What decides how permitted clicks are sent on: the same as a live click's.
#[derive(Clone, Copy)]
pub struct Roads<'a> {
    /// The landing matrix in force.
    pub matrix: &'a Matrix,
    /// Which landings an upstream serves.
    pub proxy: &'a ProxySettings,
    /// Names.
    pub words: &'a Vocabulary,
}

/// How a visitor with `device` would be sent on to `landing`, which an agreement that asks for `mode` permits. `share_code`
/// is empty for none. None where the landing has no address.
pub fn sent(
    mode: LandingMode,
    landing: &LandingView,
    share_code: &str,
    device: Device,
    roads: Roads<'_>,
) -> Option<SentView> {
    let Roads { matrix, proxy, words } = roads;
    let url = landing.url.as_deref()?;
    let marketplace = words.marketplace(&landing.marketplace)?;
    // As a click: whoever may have a share code is shown it, wherever they are.
    let way =
        if share_code.is_empty() { matrix.way(mode, Host::of(&device), device.os, marketplace) } else { Way::CopyCode };
    if way == Way::Proxy && proxy.serving(url).is_some() {
        return Some(SentView { way, status: 200, address: url.to_owned() });
    }
    let click = Permitted {
        marketplace,
        target: Target { url, item: landing.item_id.as_deref().unwrap_or_default(), kind: landing.link_kind },
        device,
        short: None,
        share_code,
    };
    let sent = send(way, &click, words);
    let status = if matches!(sent, Sent::Page(_)) { 200 } else { 302 };
    Some(SentView { way: sent.way(), status, address: sent.address(url).to_owned() })
}

impl Explained {
    /// Says how a visitor with `device` would be sent on: to the landing that is taken, and to every other permitted one.
    pub fn send_on(&mut self, device: Device, roads: Roads<'_>) {
        let share_code = self.share_code.as_deref().unwrap_or_default();
        let to = |mode: Option<LandingMode>, landing: &LandingView, alternate: u8| {
            sent(mode?, landing, if alternate == MAIN { share_code } else { "" }, device, roads)
        };
        self.sent = to(self.mode, &self.landing, self.alternate);
        for landing in &mut self.alternates {
            landing.sent = to(landing.mode, &landing.landing, landing.alternate);
        }
    }
}
