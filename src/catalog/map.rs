//! The links in memory: those that were there at the start in [`Settled`], and in concurrent maps (`DashMap`) whatever was
//! made or changed since, and slugs. Never touches the store.
//!
//! * A code is in one of the two, or in both while it changes. Whoever puts or removes it holds its shard's write guard
//!   meanwhile, so that the newer revision wins whatever comes when; a reader looks at the settled links first, and what
//!   leaves them is in the map before.
//! * Codes are chosen by whoever issues links, so the hash is keyed with secrets drawn at start (foldhash in its quality
//!   form: a fifth of the cost of SipHash-1-3 for eight bytes).
//! * A table grows under its shard's write lock; the key is beside the pointer, so that no link is read for it.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;

use super::packed::{Record, pack};
use super::settled::{Piece, Settled};
use crate::domain::code::Code;
use crate::domain::link::{Link, LinkView};

/// Ten million links made since the start are moved some forty thousand at a time when the table grows, in a millisecond.
const SHARDS: usize = 256;
const SLUG_SHARDS: usize = 64;
/// Settled links are taken in so many bytes at a time: pieces this large get huge pages, and few are looked through for a
/// link.
const PIECE: usize = 8 << 20;

/// … or after so long, that what was read is found soon where the store is slow.
const SETTLES: Duration = Duration::from_secs(1);

/// A packed link of its own.
type Packed = Box<[u8]>;

/// Links read by the start-up load that are not in the map yet.
pub(super) struct Loading {
    piece: Piece,
    since: Instant,
}

impl Default for Loading {
    fn default() -> Self {
        Loading { piece: Piece::default(), since: Instant::now() }
    }
}

impl Loading {
    /// Whether it is time to settle them.
    pub(super) fn is_due(&self) -> bool {
        self.piece.len() >= PIECE || self.since.elapsed() >= SETTLES
    }
}

pub(super) struct LinkMap {
    settled: Settled,
    codes: DashMap<u64, Packed, RandomState>,
    slugs: DashMap<Box<str>, Packed, RandomState>,
    /// Links in the two maps, and what they were packed into.
    count: AtomicUsize,
    packed_bytes: AtomicUsize,
}

impl LinkMap {
    pub(super) fn new() -> Self {
        LinkMap {
            settled: Settled::new(),
            codes: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            slugs: DashMap::with_hasher_and_shard_amount(RandomState::default(), SLUG_SHARDS),
            count: AtomicUsize::new(0),
            packed_bytes: AtomicUsize::new(0),
        }
    }

    /// Runs `read` on the link of `code`: on a settled one without any lock, on others under their shard's read guard.
    #[inline]
    pub(super) fn with<R>(&self, code: &str, read: impl FnOnce(LinkView<'_>) -> R) -> Option<R> {
        let Some(packed) = Code::pack(code.as_bytes()) else {
            return self.slugs.get(code).map(|found| read(Record(found.value()).view()));
        };
        match self.settled.get(packed) {
            Some(record) => Some(read(record.view())),
            None => self.codes.get(&packed).map(|found| read(Record(found.value()).view())),
        }
    }

    pub(super) fn contains(&self, code: &str) -> bool {
        self.with(code, |_| ()).is_some()
    }

    /// Puts a link, unless the map holds the same or a newer revision of it. This one rule lets the start-up load, the
    /// change feed and the process's own writes arrive in any order.
    pub(super) fn put(&self, link: &Link, scratch: &mut Vec<u8>) {
        scratch.clear();
        pack(link, scratch);
        match Code::pack(link.code.as_str().as_bytes()) {
            Some(code) => self.put_in(&self.codes, code, Record(scratch), || false),
            None => self.put_in(&self.slugs, link.code.as_str().into(), Record(scratch), || false),
        }
    }

    /// Puts a link into one of the maps, or by `settle` among the settled ones, where none of them has it and that answers
    /// `true`.
    fn put_in<K: Eq + Hash>(
        &self,
        map: &DashMap<K, Packed, RandomState>,
        key: K,
        record: Record<'_>,
        settle: impl FnOnce() -> bool,
    ) {
        match map.entry(key) {
            Entry::Occupied(held) if Record(held.get()).revision() >= record.revision() => {}
            Entry::Occupied(mut held) => self.replaced(&held.insert(record.0.into()), record.0),
            // A slug has the code 0, which is never settled.
            Entry::Vacant(free) => match self.settled.get(record.code()) {
                Some(known) if known.revision() >= record.revision() => {}
                None if settle() => {}
                known => {
                    // In the map first, then gone from the settled ones: a reader that looks there first finds it in one.
                    let _guard = free.insert(record.0.into());
                    self.added(record.0);
                    if known.is_some() {
                        self.settled.forget(record.code());
                    }
                }
            },
        }
    }

    /// Makes room for the links that the start-up load will bring.
    pub(super) fn expect(&self, links: usize) {
        self.settled.expect(links);
    }

    /// Takes links of the start-up load in; they are found after [`LinkMap::settle`].
    pub(super) fn load(&self, links: &[Link], loading: &mut Loading, scratch: &mut Vec<u8>) {
        for link in links {
            let code = Code::pack(link.code.as_str().as_bytes());
            if code.is_none() || !loading.piece.add(|out| pack(link, out)) {
                self.put(link, scratch);
            }
        }
    }

    /// Settles what was taken in, by the rule of [`LinkMap::put`].
    pub(super) fn settle(&self, loading: Loading) {
        if loading.piece.len() > 0 {
            self.settled.take(loading.piece, |record, add| self.put_in(&self.codes, record.code(), record, add));
        }
    }

    fn added(&self, packed: &[u8]) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.packed_bytes.fetch_add(heap_bytes(packed), Ordering::Relaxed);
    }

    fn replaced(&self, old: &[u8], new: &[u8]) {
        self.packed_bytes.fetch_add(heap_bytes(new), Ordering::Relaxed);
        self.packed_bytes.fetch_sub(heap_bytes(old), Ordering::Relaxed);
    }

    /// Takes a link out.
    pub(super) fn remove(&self, code: &str) {
        let removed = match Code::pack(code.as_bytes()) {
            Some(packed) => match self.codes.entry(packed) {
                Entry::Occupied(held) => Some(held.remove()),
                Entry::Vacant(_guard) => {
                    self.settled.forget(packed);
                    None
                }
            },
            None => self.slugs.remove(code).map(|(_, held)| held),
        };
        if let Some(held) = removed {
            self.packed_bytes.fetch_sub(heap_bytes(&held), Ordering::Relaxed);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Links that are `asked` for; one that is changed meanwhile may be counted twice. Holds up whoever changes links, for one
    /// shard's worth at a time; never a click on a settled one.
    pub(super) fn count(&self, asked: impl Fn(&LinkView<'_>) -> bool) -> usize {
        self.settled.iter().filter(|record| asked(&record.view())).count()
            + self.codes.iter().filter(|entry| asked(&Record(entry.value()).view())).count()
            + self.slugs.iter().filter(|entry| asked(&Record(entry.value()).view())).count()
    }

    pub(super) fn len(&self) -> usize {
        self.settled.len() + self.count.load(Ordering::Relaxed)
    }

    /// An estimate: settled links as they are, others' allocations as glibc rounds them, and table slots with their tag
    /// bytes.
    pub(super) fn bytes(&self) -> usize {
        let slots = |usable: usize| usable / 7 * 8;
        self.settled.bytes()
            + self.packed_bytes.load(Ordering::Relaxed)
            + slots(self.codes.capacity()) * (size_of::<(u64, Packed)>() + 1)
            + slots(self.slugs.capacity()) * (size_of::<(Box<str>, Packed)>() + 1)
            + self.slugs.len() * 32
    }
}

/// Bytes the allocator gives for a packed link (glibc: 8 bytes of its own, rounded up to 16).
fn heap_bytes(packed: &[u8]) -> usize {
    (packed.len() + 8).next_multiple_of(16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;
    use crate::config::marketplaces::shipped;
    use crate::domain::link::{LinkState, Placement};
    use crate::domain::time::Timestamp;
    use crate::domain::vocabulary::ShopType;

    /// A link that shows its revision to the click path, as the end of its time.
    fn link(code: &str, revision: i64, long: usize) -> Link {
        Link {
            code: Code::parse(code).unwrap(),
            landing: shipped().markets().recognise("https://item.jd.com/100012043978.html").unwrap(),
            alternates: Vec::new(),
            shop_type: ShopType::SelfOperated,
            category: None,
            creator: Some("c".repeat(long).into()),
            placement: Placement { platform: None, surface: None },
            facts: Vec::new(),
            tags: Vec::new(),
            expires_at: Some(Timestamp::from_micros(revision)),
            share_code: None,
            state: LinkState::Active,
            created_at: Timestamp::MIN,
            revision,
        }
    }

    fn seen(map: &LinkMap, code: &str) -> Option<i64> {
        map.with(code, |link| link.expires_at.micros())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize, i64),
        Remove(usize),
        Load(Vec<(usize, i64, usize)>),
        Settle,
    }

    /// Codes of eight characters, and some slugs.
    fn name(number: usize) -> String {
        if number.is_multiple_of(5) { format!("slug-{number}-of-a-shop") } else { format!("Code{number:04}") }
    }

    fn steps() -> impl Strategy<Value = Step> {
        let (code, revision) = (0..40_usize, 0..8_i64);
        // Longer than a settled link may be, once in a while.
        let long = prop_oneof![20 => 0..90_usize, 1 => Just(70_000)];
        prop_oneof![
            (code.clone(), revision.clone()).prop_map(|(code, revision)| Step::Put(code, revision)),
            code.clone().prop_map(Step::Remove),
            proptest::collection::vec((code, revision, long), 0..20).prop_map(Step::Load),
            Just(Step::Settle),
        ]
    }

    proptest! {
        #[test]
        fn the_newer_revision_is_found_wherever_it_lives(
            steps in proptest::collection::vec(steps(), 1..60),
            expected in proptest::option::of(0..60_usize),
        ) {
            let map = LinkMap::new();
            if let Some(links) = expected {
                map.expect(links);
            }
            let mut model: HashMap<usize, i64> = HashMap::new();
            let newer = |model: &mut HashMap<usize, i64>, code, revision| {
                let held = model.entry(code).or_insert(revision);
                *held = revision.max(*held);
            };
            let (mut loading, mut waiting, mut scratch) = (Loading::default(), Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Put(code, revision) => {
                        map.put(&link(&name(code), revision, 1), &mut scratch);
                        newer(&mut model, code, revision);
                    }
                    Step::Remove(code) => {
                        map.remove(&name(code));
                        model.remove(&code);
                    }
                    Step::Load(links) => {
                        for (code, revision, long) in links {
                            map.load(&[link(&name(code), revision, long)], &mut loading, &mut scratch);
                            // What cannot be settled is there at once.
                            if code.is_multiple_of(5) || long > 90 {
                                newer(&mut model, code, revision);
                            } else {
                                waiting.push((code, revision));
                            }
                        }
                    }
                    Step::Settle => {
                        map.settle(std::mem::take(&mut loading));
                        waiting.drain(..).for_each(|(code, revision)| newer(&mut model, code, revision));
                    }
                }
                for code in 0..40 {
                    prop_assert_eq!(seen(&map, &name(code)), model.get(&code).copied(), "{}", name(code));
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.count(|link| link.expires_at.micros() > 3), model.values().filter(|at| **at > 3).count());
            }
        }
    }

    #[test]
    fn a_link_that_changes_is_never_missed_and_never_grows_older() {
        const CODES: usize = 64;
        let map = LinkMap::new();
        map.expect(CODES);
        let names: Vec<String> = (0..CODES).map(|number| format!("Race{number:04}")).collect();
        let mut loading = Loading::default();
        for name in &names {
            map.load(&[link(name, 1, 1)], &mut loading, &mut Vec::new());
        }
        map.settle(loading);
        assert_eq!((map.len(), map.settled.len()), (CODES, CODES));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = [1; CODES];
                    while !done.load(Ordering::Relaxed) {
                        for (name, last) in names.iter().zip(&mut last) {
                            let now = seen(&map, name).expect("it was there from the beginning");
                            assert!(now >= *last, "{name}: {now} after {last}");
                            *last = now;
                        }
                    }
                });
            }
            for revision in 2..200 {
                for name in &names {
                    map.put(&link(name, revision, 1), &mut Vec::new());
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!((map.len(), map.settled.len()), (CODES, 0));
        assert!(names.iter().all(|name| seen(&map, name) == Some(199)));
    }

    #[test]
    fn what_settles_costs_its_bytes_and_its_entry() {
        const LINKS: usize = 20_000;
        let map = LinkMap::new();
        map.expect(LINKS);
        let mut loading = Loading::default();
        let link = |number: usize| link(&format!("{number:08}"), 1, 10);
        let links: Vec<Link> = (0..LINKS).map(link).collect();
        map.load(&links, &mut loading, &mut Vec::new());
        map.settle(loading);
        assert_eq!((map.settled.len(), map.len()), (LINKS, LINKS));
        let mut packed = Vec::new();
        pack(&links[0], &mut packed);
        // Eight entries of eight bytes for five links, two bytes for a length.
        assert_eq!(map.settled.bytes(), LINKS * (packed.len() + 2) + LINKS / 5 * 64);
        assert_eq!(map.with("00000007", |link| link.creator.len()), Some(10));
    }
}
