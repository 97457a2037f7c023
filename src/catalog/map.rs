//! The concurrent map of packed links. Never touches the store.
//!
//! * Codes of eight characters live in a table of bare pointers: the key is read from the packed link itself, so a slot
//!   costs 8 bytes and a tag byte instead of 16 and one. A hit reads the link anyway; a miss reads one in 128 times.
//! * Codes are chosen by whoever issues links, so the hash is keyed with secrets drawn at start (foldhash in its quality
//!   form: a fifth of the cost of SipHash-1-3 for eight bytes). Its low bits pick the slot, the top seven are the tag, and the ones under them pick the shard: a hash
//!   that only mixes upwards would fill a few shards.
//! * Many shards, because a table grows under its shard's write lock: with 1,024, ten million links are moved some ten
//!   thousand at a time.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;

use super::packed::Packed;
use crate::domain::code::Code;
use crate::domain::link::{Link, LinkView};

const SHARDS: usize = 1_024;
const SLUG_SHARDS: usize = 64;

/// A packed link that is its own key.
struct Keyed(Packed);

impl Borrow<u64> for Keyed {
    fn borrow(&self) -> &u64 {
        self.0.code()
    }
}

impl Hash for Keyed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.code().hash(state);
    }
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.0.code() == other.0.code()
    }
}

impl Eq for Keyed {}

pub(super) struct LinkMap {
    codes: DashMap<Keyed, (), RandomState>,
    slugs: DashMap<Box<str>, Packed, RandomState>,
    count: AtomicUsize,
    packed_bytes: AtomicUsize,
}

impl LinkMap {
    pub(super) fn new() -> Self {
        LinkMap {
            codes: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            slugs: DashMap::with_hasher_and_shard_amount(RandomState::default(), SLUG_SHARDS),
            count: AtomicUsize::new(0),
            packed_bytes: AtomicUsize::new(0),
        }
    }

    /// Runs `read` on the link of `code` under its shard's read guard.
    pub(super) fn with<R>(&self, code: &str, read: impl FnOnce(LinkView<'_>) -> R) -> Option<R> {
        match Code::pack(code.as_bytes()) {
            Some(packed) => self.codes.get(&packed).map(|found| read(found.key().0.view())),
            None => self.slugs.get(code).map(|found| read(found.value().view())),
        }
    }

    pub(super) fn contains(&self, code: &str) -> bool {
        match Code::pack(code.as_bytes()) {
            Some(packed) => self.codes.contains_key(&packed),
            None => self.slugs.contains_key(code),
        }
    }

    /// Puts a link, unless the map holds the same or a newer revision of it. This one rule lets the start-up load, the
    /// change feed and the process's own writes arrive in any order.
    pub(super) fn put(&self, link: &Link, scratch: &mut Vec<u8>) {
        let packed = Packed::new(link, scratch);
        let (revision, size) = (packed.revision(), packed.heap_bytes());
        let replaced = if Code::pack(link.code.as_str().as_bytes()).is_some() {
            match self.codes.entry(Keyed(packed)) {
                Entry::Vacant(free) => {
                    free.insert(());
                    None
                }
                Entry::Occupied(held) => {
                    if held.key().0.revision() >= revision {
                        return;
                    }
                    Some(held.replace_entry(()).0.0.heap_bytes())
                }
            }
        } else {
            match self.slugs.entry(link.code.as_str().into()) {
                Entry::Vacant(free) => {
                    free.insert(packed);
                    None
                }
                Entry::Occupied(mut held) => {
                    if held.get().revision() >= revision {
                        return;
                    }
                    Some(held.insert(packed).heap_bytes())
                }
            }
        };
        self.packed_bytes.fetch_add(size, Ordering::Relaxed);
        match replaced {
            Some(old) => drop(self.packed_bytes.fetch_sub(old, Ordering::Relaxed)),
            None => drop(self.count.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Takes a link out.
    pub(super) fn remove(&self, code: &str) {
        let removed = match Code::pack(code.as_bytes()) {
            Some(packed) => self.codes.remove(&packed).map(|(held, ())| held.0.heap_bytes()),
            None => self.slugs.remove(code).map(|(_, held)| held.heap_bytes()),
        };
        if let Some(size) = removed {
            self.packed_bytes.fetch_sub(size, Ordering::Relaxed);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Links that are `asked` for. Holds up whoever changes links, for one shard's worth at a time; never a click.
    pub(super) fn count(&self, asked: impl Fn(&LinkView<'_>) -> bool) -> usize {
        self.codes.iter().filter(|entry| asked(&entry.key().0.view())).count()
            + self.slugs.iter().filter(|entry| asked(&entry.value().view())).count()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// An estimate: allocations as glibc rounds them, and table slots with their tag bytes.
    pub(super) fn bytes(&self) -> usize {
        let slots = |usable: usize| usable / 7 * 8;
        let slug_slot = size_of::<(Box<str>, Packed)>() + 1;
        self.packed_bytes.load(Ordering::Relaxed)
            + slots(self.codes.capacity()) * (size_of::<Keyed>() + 1)
            + slots(self.slugs.capacity()) * slug_slot
            + self.slugs.len() * 32
    }
}
