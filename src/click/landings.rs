//! The landing matrix in force, swapped whole and never replaced by a bad one; and what of a permitted click needs more than
//! a redirect. Never decides whether a click is allowed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Cache};

use crate::config::landing::{MatrixFile, load};
use crate::config::tree::Fault;
use crate::domain::device::{Device, HostApp, Os};
use crate::domain::landing::Way;
use crate::domain::landing::address::{self, Program, Target};
use crate::domain::landing::matrix::{Matrix, able};
use crate::domain::marketplace::Destination;
use crate::domain::marketplace::app::App;
use crate::domain::marketplace::table::Names;
use crate::domain::vocabulary::{LinkKind, MarketplaceId, Vocabulary};

/// The handle on the matrix in force.
#[derive(Debug)]
pub struct Landings {
    file: MatrixFile,
    current: ArcSwap<Matrix>,
    failures: AtomicU64,
}

impl Landings {
    /// Reads the matrix.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn open(file: MatrixFile, words: &Vocabulary) -> Result<Self, Vec<Fault>> {
        let current = ArcSwap::from_pointee(load(&file, words)?);
        Ok(Landings { file, current, failures: AtomicU64::new(0) })
    }

    /// The matrix that comes with the product.
    ///
    /// # Errors
    /// Every fault of it, where the vocabulary lacks a marketplace it names.
    pub fn shipped(words: &Vocabulary) -> Result<Self, Vec<Fault>> {
        Landings::open(MatrixFile { path: PathBuf::new(), named: false }, words)
    }

    /// Reads the matrix again; whether another one is in force now. One with a fault changes nothing and is counted.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn reload(&self, words: &Vocabulary) -> Result<bool, Vec<Fault>> {
        match load(&self.file, words) {
            Ok(matrix) if **self.current.load() == matrix => Ok(false),
            Ok(matrix) => {
                self.current.store(Arc::new(matrix));
                Ok(true)
            }
            Err(faults) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(faults)
            }
        }
    }

    /// How many reloads failed and kept the last good one.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The matrix in force.
    pub fn current(&self) -> Arc<Matrix> {
        self.current.load_full()
    }

    /// A reader for one worker.
    pub fn reader(self: &Arc<Self>) -> MatrixReader {
        MatrixReader(Cache::new(MatrixSource(Arc::clone(self))))
    }
}

#[derive(Clone)]
struct MatrixSource(Arc<Landings>);

impl std::ops::Deref for MatrixSource {
    type Target = ArcSwap<Matrix>;
    fn deref(&self) -> &Self::Target {
        &self.0.current
    }
}

/// One worker's look at the matrix in force: a pointer compare when nothing changed.
pub struct MatrixReader(Cache<MatrixSource, Arc<Matrix>>);

impl MatrixReader {
    /// The matrix in force now.
    pub fn load(&mut self) -> &Arc<Matrix> {
        self.0.load()
    }
}

/// What a permitted click is sent on with, where that is not a redirect to the landing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sent {
    /// To the landing, or for [`Way::InApp`] to another page of the marketplace, which has passed the allow-list.
    Redirect(Way, Option<String>),
    /// A page, or the same as JSON.
    Page(Box<Launch>),
}

impl Sent {
    /// The way.
    pub fn way(&self) -> Way {
        match self {
            Sent::Redirect(way, _) => *way,
            Sent::Page(launch) => launch.way,
        }
    }

    /// The first address the visitor is given: the redirect's, or that of the page's button.
    pub fn address<'a>(&'a self, url: &'a str) -> &'a str {
        match self {
            Sent::Redirect(_, address) => address.as_deref().unwrap_or(url),
            Sent::Page(launch) => launch.button(),
        }
    }
}

/// What a launch page shows, and its JSON says. Everything the marketplace's data allows is here, whichever way the page
/// takes, so that a host app that can do better does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Launch {
    /// The way of the page.
    pub way: Way,
    /// The marketplace.
    pub marketplace: String,
    /// What people call it.
    pub names: Names,
    /// The landing, as the alliance issued it.
    pub url: String,
    /// It in the app, by the app's scheme.
    pub app_url: Option<String>,
    /// It in the app, by a universal link.
    pub universal_link: Option<String>,
    /// It in the app, by an Android intent; for [`Way::Intent`] only.
    pub intent: Option<String>,
    /// It in the marketplace's mini program.
    pub mini_program: Option<Program>,
    /// What is there to copy: the short link where that works in any app, the landing otherwise, or the share code.
    pub copy: String,
    /// Whether the page itself may be opened in another app: its link does not ask where it is clicked.
    pub portable: bool,
    /// The host app.
    pub app: HostApp,
    /// The system.
    pub os: Os,
}

impl Launch {
    /// The address of the page's first button.
    pub fn button(&self) -> &str {
        let first = match self.way {
            Way::UniversalLink => self.universal_link.as_deref(),
            Way::Intent => self.intent.as_deref(),
            Way::Scheme => self.app_url.as_deref(),
            _ => None,
        };
        first.unwrap_or(&self.url)
    }
}

/// A permitted click, as far as the way it is sent on depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Permitted<'a> {
    /// Where it lands.
    pub marketplace: MarketplaceId,
    /// What the landing is.
    pub target: Target<'a>,
    /// The visitor's device.
    pub device: Device,
    /// The short link where it works in any app.
    pub short: Option<&'a str>,
    /// The link's share code; empty where it has none.
    pub share_code: &'a str,
}

/// What the way the matrix gives comes to for one click. A way for which this click lacks something becomes the next one.
#[cold]
pub fn send(way: Way, click: &Permitted<'_>, words: &Vocabulary) -> Sent {
    let nothing = App::default();
    let app = words.markets().of(click.marketplace).map_or(&nothing, |market| &market.app);
    let target = &click.target;
    let mut launch = Launch {
        way,
        marketplace: words.marketplace_name(click.marketplace).to_owned(),
        names: words.marketplace_names(click.marketplace),
        url: target.url.to_owned(),
        app_url: address::scheme(app, target),
        universal_link: address::universal_link(app, target),
        intent: (way == Way::Intent).then(|| address::intent(app, target)).flatten(),
        mini_program: address::mini_program(app, target),
        copy: click.short.unwrap_or(target.url).to_owned(),
        portable: click.short.is_some(),
        app: click.device.app,
        os: click.device.os,
    };
    // A page of another host than the landing's has to pass the allow-list like any.
    let listed =
        |page: &String| Destination::from_stored(page, words.markets()).is_ok_and(|(_, id)| id == click.marketplace);
    let in_app = (way == Way::InApp).then(|| address::in_app(app, target).filter(listed)).flatten();
    let way = able(way, |way| match way {
        Way::UniversalLink => launch.universal_link.is_some(),
        Way::Intent => launch.intent.is_some(),
        Way::Scheme => launch.app_url.is_some(),
        Way::MiniProgram => launch.mini_program.is_some(),
        Way::InApp => in_app.is_some(),
        Way::Content => target.kind == LinkKind::Content,
        Way::CopyCode => !click.share_code.is_empty(),
        Way::BrowserPrompt => true,
        // What a redirect, a proxy or an answer to a machine needs is not for the matrix to have.
        Way::Redirect | Way::Proxy | Way::UpstreamFailed | Way::Card => false,
    });
    launch.way = way;
    match way {
        Way::UniversalLink | Way::Intent | Way::Scheme | Way::MiniProgram | Way::BrowserPrompt => {
            Sent::Page(Box::new(launch))
        }
        Way::CopyCode => {
            click.share_code.clone_into(&mut launch.copy);
            Sent::Page(Box::new(launch))
        }
        Way::InApp => Sent::Redirect(way, in_app),
        _ => Sent::Redirect(way, None),
    }
}
