//! Positions told from links: an affiliate link carries the placement id its orders will be reported under, so its creator,
//! or the link itself where it has none, is whose orders they are. What somebody registered comes before that: whoever
//! pastes another's link gets nothing of what it earns.

use std::time::Instant;

use super::intake::{OrderIntake, Position, PositionKind, release_all};
use crate::attribution::StoreError;
use crate::attribution::touches::Subject;
use crate::catalog::store::LinkStore;
use crate::domain::attribution::Network;
use crate::domain::link::Link;
use crate::domain::time::Timestamp;

/// Links looked at in one step.
const STEP: usize = 2_000;
/// So many times as long as a step took, whoever has time rests after it.
const RESTS: u32 = 3;

/// How links are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Somebody waits for it.
    Swift,
    /// Beside clicks: the first look at ten million links takes a quarter of a core for some minutes, not all of one.
    Gentle,
}

/// The positions that the addresses of a link carry.
pub fn positions(link: &Link) -> Vec<Position> {
    let subject = match link.creator.as_deref() {
        Some(creator) => Subject::Creator(creator.into()),
        None => Subject::Link(link.code.as_str().into()),
    };
    let landings = std::iter::once(&link.landing).chain(link.alternates.iter().map(|alternate| &alternate.landing));
    let mut found = Vec::new();
    for address in landings.map(|landing| landing.destination.as_str()) {
        let Some((_, query)) = address.split_once('?') else { continue };
        let query = query.split('#').next().unwrap_or_default();
        for (_, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "pid") {
            for (network, kind, position) in told(&value) {
                let (link, subject) = (Some(link.code.as_str().into()), subject.clone());
                found.push(Position { network, position: position.into(), kind, subject, link });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What a `pid` says: `mm_<member>_<site>_<adzone>` is Taobao's, `<duo id>_<number>` Pinduoduo's.
fn told(pid: &str) -> Vec<(Network, PositionKind, &str)> {
    let number = |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = pid.split('_').collect();
    match parts[..] {
        ["mm", member, site, adzone] if [member, site, adzone].into_iter().all(number) => {
            vec![(Network::Taobao, PositionKind::Pid, pid), (Network::Taobao, PositionKind::Position, adzone)]
        }
        [duo, place] if number(duo) && number(place) => vec![(Network::Pinduoduo, PositionKind::Pid, pid)],
        _ => Vec::new(),
    }
}

/// Why links cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The store of orders.
    #[error(transparent)]
    Orders(#[from] StoreError),
    /// The store of links.
    #[error(transparent)]
    Links(#[from] crate::catalog::store::StoreError),
}

/// Looks at every link that changed since the last look, then takes in rows that waited for what was found; how many rows
/// were looked at. Two that follow at once, or one that is killed, change nothing: the mark is kept with what was found.
///
/// # Errors
/// [`FollowError`]; what was found before it is kept.
pub async fn follow(
    orders: &dyn OrderIntake,
    links: &dyn LinkStore,
    now: Timestamp,
    pace: Pace,
) -> Result<u64, FollowError> {
    let mut seen = orders.links_seen().await?;
    loop {
        let begun = Instant::now();
        let changes = links.changed_since(seen, None, STEP).await?;
        if changes.through > seen {
            let found = changes.links.iter().map(|link| (link.code.as_str().into(), positions(link))).collect();
            orders.derive(found, changes.through).await?;
            seen = changes.through;
        }
        if !changes.more {
            return Ok(release_all(orders, now).await?);
        }
        if pace == Pace::Gentle {
            tokio::time::sleep(begun.elapsed() * RESTS).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_tells_its_network_and_its_adzone() {
        let taobao = told("mm_12_34_56");
        assert_eq!(taobao[0], (Network::Taobao, PositionKind::Pid, "mm_12_34_56"));
        assert_eq!(taobao[1], (Network::Taobao, PositionKind::Position, "56"));
        assert_eq!(told("9724806_314941670"), [(Network::Pinduoduo, PositionKind::Pid, "9724806_314941670")]);
        for other in
            ["", "mm_1_2", "mm_1_2_x", "mm_1_2_3_4", "mm_1__3", "__PID__", "1_2_3", "mm_1_2_123456789012345678901"]
        {
            assert_eq!(told(other), [], "{other}");
        }
    }
}
