//! Where a click happened, by the best evidence there is: what the link is bound to, else what the platform signed, else
//! the visitor's app, else an unsigned hint in the query. Which of these it was is recorded. Never trusts a hint over the link.

use crate::domain::device::{HostApp, platform_of};
use crate::domain::hop::PlacementSource;
use crate::domain::link::Placement;
use crate::domain::vocabulary::{Surface, Vocabulary};

/// A placement and the weakest evidence any part of it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Where.
    pub placement: Placement,
    /// How that is known.
    pub source: PlacementSource,
}

/// Whether a signed placement says otherwise than what the link is bound to.
pub fn contradicts(bound: Placement, signed: Placement) -> bool {
    bound.platform.is_some() && bound.platform != signed.platform
        || bound.surface.is_some() && bound.surface != signed.surface
}

/// Finds the placement of a click on a link bound to `bound`. What is signed names both parts, and does not contradict it.
pub fn find(
    bound: Placement,
    signed: Option<Placement>,
    app: HostApp,
    query: Option<&str>,
    words: &Vocabulary,
) -> Known {
    if bound.platform.is_some() && bound.surface.is_some() {
        return Known { placement: bound, source: PlacementSource::Link };
    }
    if let Some(placement) = signed {
        return Known { placement, source: PlacementSource::Token };
    }
    let hint =
        |key: &str| query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')));
    let hinted = hint("platform").and_then(|name| words.platform(name));
    let (platform, source) = match (bound.platform, platform_of(app).and_then(|name| words.platform(name)), hinted) {
        (Some(platform), _, _) => (Some(platform), PlacementSource::Link),
        (None, Some(platform), _) => (Some(platform), PlacementSource::Detected),
        (None, None, Some(platform)) => (Some(platform), PlacementSource::Hint),
        (None, None, None) => (None, PlacementSource::Unknown),
    };
    // A hint about another platform says nothing of a spot inside this one.
    let about_this = hinted.is_none() || hinted == platform;
    let surface = bound.surface.or_else(|| hint("surface").and_then(Surface::parse).filter(|_| about_this));
    let source = if surface != bound.surface { PlacementSource::Hint } else { source };
    Known { placement: Placement { platform, surface }, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_evidence_wins_and_the_weakest_is_recorded() {
        let words = Vocabulary::default();
        let kuaishou = words.platform("kuaishou");
        let known = |platform, surface, source| Known { placement: Placement { platform, surface }, source };
        let bound = Placement { platform: kuaishou, surface: Some(Surface::LiveCart) };
        let hint = Some("x=1&platform=douyin&surface=note");
        assert_eq!(
            find(bound, None, HostApp::Douyin, hint, &words),
            known(kuaishou, Some(Surface::LiveCart), PlacementSource::Link)
        );
        let free = Placement::default();
        assert_eq!(find(free, None, HostApp::Kuaishou, None, &words), known(kuaishou, None, PlacementSource::Detected));
        assert_eq!(
            find(free, None, HostApp::Kuaishou, hint, &words),
            known(kuaishou, None, PlacementSource::Detected),
            "a hint about another platform is not taken"
        );
        assert_eq!(
            find(free, None, HostApp::Browser, hint, &words),
            known(words.platform("douyin"), Some(Surface::Note), PlacementSource::Hint)
        );
        assert_eq!(find(free, None, HostApp::Browser, None, &words), known(None, None, PlacementSource::Unknown));
        let half = Placement { platform: kuaishou, surface: None };
        let signed = Placement { platform: kuaishou, surface: Some(Surface::Note) };
        let told = known(kuaishou, Some(Surface::Note), PlacementSource::Token);
        assert_eq!(find(half, Some(signed), HostApp::Douyin, hint, &words), told);
        assert_eq!(find(bound, Some(signed), HostApp::Douyin, hint, &words).source, PlacementSource::Link);
        assert!(contradicts(bound, signed) && !contradicts(half, signed) && !contradicts(free, signed));
        assert!(contradicts(Placement { platform: words.platform("douyin"), surface: None }, signed));
        assert_eq!(
            find(half, None, HostApp::Browser, Some("surface=live_cart"), &words),
            known(kuaishou, Some(Surface::LiveCart), PlacementSource::Hint)
        );
    }
}
