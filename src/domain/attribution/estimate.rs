//! Figures reckoned from a sample: what is known when each event was returned with a share `p` only.
//!
//! The method. Of `N` events that happened, each was returned with probability `p`, apart from the others (binomial
//! thinning), and `n` came. `N` is guessed as `n / p`. Its 95 % interval holds every `N` that `n` does not speak against: by
//! the score of the binomial with the correction for continuity, `|n - N p| - 1/2 <= z sqrt(N p (1 - p))`, `z` = 1.96, solved
//! for `N`; and never below `n`, as those were seen. For events of several shares the guesses add up, and the distances to the
//! ends of their intervals add up as the legs of a right angle do (the method of variance estimates recovery), so that the
//! sum's interval is as uneven as its parts'.
//!
//! Where a sample was drawn by reader and a reader leaves several events, they did not come apart from each other, and the
//! interval is too narrow: whoever shows an estimate says so. Never a total: a guess and a count are not added up.

/// The share of a normal distribution's width that holds 95 % of it.
const Z: f64 = 1.959_963_985;
/// Of so many events of several shares, the low end is the sum of the parts' low ends.
const FEW: u64 = 8;

/// A guess with its 95 % interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The guess.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// What `n` returned events say of all that happened, where each was returned with probability `share`, above 0 and at
    /// most 1; a share beyond these is taken as 1.
    pub fn of(n: u64, share: f64) -> Estimate {
        let seen = n as f64;
        if !(share > 0.0 && share < 1.0) {
            return Estimate { value: seen, low: seen, high: seen };
        }
        let spread = Z * (share * (1.0 - share)).sqrt();
        // Both ends solve `share s² ∓ spread s = n ± 1/2` for s, the root of N.
        let root = |sign: f64, count: f64| {
            let inside = spread * spread + 4.0 * share * count.max(0.0);
            ((sign * spread + inside.sqrt()) / (2.0 * share)).max(0.0)
        };
        let low = if n == 0 { 0.0 } else { root(-1.0, seen - 0.5).powi(2).max(seen) };
        let high = root(1.0, seen + 0.5).powi(2);
        Estimate { value: seen / share, low: low.min(seen / share), high }
    }

    /// What samples of several shares say together: how many came of each, and its share. One of which nothing came says so
    /// too: there may have been a few.
    pub fn together(samples: &[(u64, f64)]) -> Estimate {
        let mut sum = Estimate { value: 0.0, low: 0.0, high: 0.0 };
        let (mut below, mut above, mut lows, mut seen) = (0.0, 0.0, 0.0, 0);
        for (n, part) in samples.iter().map(|(n, share)| (n, Estimate::of(*n, *share))) {
            sum.value += part.value;
            below += (part.value - part.low).powi(2);
            above += (part.high - part.value).powi(2);
            lows += part.low;
            seen += n;
        }
        // So few are too uneven for right angles: at the low end they are taken one by one.
        sum.low = if seen <= FEW { lows } else { (sum.value - below.sqrt()).max(lows) };
        sum.high = sum.value + above.sqrt();
        sum
    }

    /// This many to each of `count`; `None` of none.
    pub fn per(self, count: u64) -> Option<Estimate> {
        let count = count as f64;
        (count > 0.0).then(|| Estimate { value: self.value / count, low: self.low / count, high: self.high / count })
    }

    /// This many to each of another guess: from the lowest to the highest that both intervals allow, which is wider than
    /// need be. `None` where the other may be none at all.
    pub fn over(self, other: Estimate) -> Option<Estimate> {
        (other.low > 0.0).then(|| Estimate {
            value: self.value / other.value,
            low: self.low / other.high,
            high: self.high / other.low,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A generator of its own, so that a failing run is the same run again.
    struct Dice(u64);

    impl Dice {
        fn thinned(&mut self, all: u64, share: f64) -> u64 {
            (0..all)
                .filter(|_| {
                    self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ((self.0 >> 11) as f64 / (1u64 << 53) as f64) < share
                })
                .count() as u64
        }
    }

    #[test]
    fn a_whole_return_is_no_guess() {
        assert_eq!(Estimate::of(7, 1.0), Estimate { value: 7.0, low: 7.0, high: 7.0 });
        let half = Estimate::of(100, 0.5);
        assert_eq!(half.value, 200.0);
        assert!((170.0..175.0).contains(&half.low) && (228.0..233.0).contains(&half.high), "{half:?}");
        let none = Estimate::of(0, 0.5);
        assert_eq!((none.value, none.low), (0.0, 0.0));
        assert!((5.0..6.0).contains(&none.high), "{none:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        /// Of thinned counts, the interval holds what truly happened at least 93 times in 100.
        #[test]
        fn intervals_hold_the_truth(all in 1u64..400, percent in 5u64..95, seed in any::<u64>()) {
            let (share, mut dice) = (percent as f64 / 100.0, Dice(seed));
            let truth = all as f64;
            let held = (0..1_000)
                .filter(|_| {
                    let guess = Estimate::of(dice.thinned(all, share), share);
                    guess.low <= truth && truth <= guess.high
                })
                .count();
            prop_assert!(held >= 930, "{held} of 1000 for {all} at {share}");
        }

        /// The same of sums of two samples with unlike shares.
        #[test]
        fn sums_hold_the_truth(first in 1u64..300, second in 1u64..300, seed in any::<u64>()) {
            let mut dice = Dice(seed);
            let truth = (first + second) as f64;
            let held = (0..1_000)
                .filter(|_| {
                    let parts = [(first, 0.5), (second, 0.2)];
                    let guess = Estimate::together(&parts.map(|(all, share)| (dice.thinned(all, share), share)));
                    guess.low <= truth && truth <= guess.high
                })
                .count();
            prop_assert!(held >= 930, "{held} of 1000 for {first} and {second}");
        }

        #[test]
        fn the_guess_lies_in_its_interval_and_more_events_never_mean_fewer(n in 0u64..100_000, percent in 1u64..=100) {
            let share = percent as f64 / 100.0;
            let (one, more) = (Estimate::of(n, share), Estimate::of(n + 1, share));
            prop_assert!(one.low <= one.value && one.value <= one.high, "{one:?}");
            prop_assert!(one.low >= n as f64 - 1e-6 && one.low <= more.low && one.high < more.high + 1e-9);
            let twice = Estimate::together(&[(n, share), (n, share)]);
            prop_assert!((twice.value - 2.0 * one.value).abs() < 1e-6 && twice.low >= 2.0 * one.low - 1e-6);
        }
    }

    #[test]
    fn rates_carry_the_interval_along() {
        let guess = Estimate { value: 10.0, low: 8.0, high: 13.0 };
        assert_eq!(guess.per(0), None);
        assert_eq!(guess.per(2), Some(Estimate { value: 5.0, low: 4.0, high: 6.5 }));
        assert_eq!(guess.over(guess).map(|rate| rate.value), Some(1.0));
        assert_eq!(guess.over(Estimate::of(0, 0.5)), None);
    }
}
