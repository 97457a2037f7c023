//! A set of networks, asked whether an address is in one of them. Addresses are plain numbers here; never reads a list.

/// Networks of both families, as ranges that do not overlap.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// First addresses apart from last ones: a search walks the first ones only.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Ranges<T> {
    first: Vec<T>,
    last: Vec<T>,
}

impl<T: Ord + Copy> Ranges<T> {
    fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        let mut kept = Ranges { first: Vec::new(), last: Vec::new() };
        for (first, last) in ranges {
            match kept.last.last_mut() {
                Some(before) if *before >= first => *before = last.max(*before),
                _ => {
                    kept.first.push(first);
                    kept.last.push(last);
                }
            }
        }
        kept
    }

    fn contains(&self, address: T) -> bool {
        let after = self.first.partition_point(|first| *first <= address);
        after.checked_sub(1).and_then(|place| self.last.get(place)).is_some_and(|last| address <= *last)
    }
}

impl Networks {
    /// The set of these ranges, each from its first to its last address.
    pub fn new(v4: Vec<(u32, u32)>, v6: Vec<(u128, u128)>) -> Self {
        Networks { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    /// Whether an IPv4 address is in the set.
    pub fn contains_v4(&self, address: u32) -> bool {
        self.v4.contains(address)
    }

    /// Whether an IPv6 address is in the set.
    pub fn contains_v6(&self, address: u128) -> bool {
        self.v6.contains(address)
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.v4.first.len() + self.v6.first.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_and_their_ends_belong_to_them() {
        let set = Networks::new(vec![(30, 40), (10, 20), (15, 25), (12, 13)], vec![(1 << 100, (1 << 100) + 9)]);
        assert_eq!(set.len(), 3);
        let inside: Vec<u32> = (0..50).filter(|address| set.contains_v4(*address)).collect();
        assert_eq!(inside, (10..=25).chain(30..=40).collect::<Vec<u32>>());
        assert!(set.contains_v6((1 << 100) + 9) && !set.contains_v6((1 << 100) + 10) && !set.contains_v6(0));
        let all = Networks::new(vec![(0, u32::MAX)], Vec::new());
        assert!(all.contains_v4(0) && all.contains_v4(u32::MAX) && !all.contains_v6(5));
        assert!(!Networks::default().contains_v4(7) && Networks::default().is_empty());
    }
}
