//! Quantiles and histograms.

/// Middle and quarters of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    /// `None` when there are no figures.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |per_mille| nearest(&sorted, per_mille).copied();
        Some(Self { lower: at(250)?, median: at(500)?, upper: at(750)? })
    }
}

/// The figure below which `per_mille` of all lie; `None` when there are none.
pub(crate) fn quantile_ns(figures: &[u64], per_mille: usize) -> Option<u64> {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    nearest(&sorted, per_mille).copied()
}

/// The nearest rank in sorted figures.
fn nearest<T>(sorted: &[T], per_mille: usize) -> Option<&T> {
    let rank = sorted.len().checked_sub(1)?.saturating_mul(per_mille).saturating_add(500);
    sorted.get(rank.checked_div(1000)?)
}

/// Upper ends of the histogram's classes in microseconds; the last class is open.
pub(crate) const CLASS_ENDS_US: [u64; 9] = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 40_000];

/// How many figures fall into each class.
pub(crate) fn histogram(figures_ns: &[u64]) -> [u64; CLASS_ENDS_US.len() + 1] {
    let mut counts = [0; CLASS_ENDS_US.len() + 1];
    for figure in figures_ns {
        let class = CLASS_ENDS_US.iter().take_while(|end| *figure >= *end * 1_000).count();
        if let Some(count) = counts.get_mut(class) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{Quartiles, histogram, quantile_ns};

    #[test]
    fn quartiles_are_the_nearest_ranks() {
        let quartiles = Quartiles::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(quartiles, Quartiles { lower: 2.0, median: 3.0, upper: 4.0 });
        assert_eq!(Quartiles::of(&[]), None);
    }

    #[test]
    fn the_99th_percentile_of_a_hundred_is_the_last_but_one() {
        let figures: Vec<u64> = (1..=101).collect();
        assert_eq!(quantile_ns(&figures, 990), Some(100));
        assert_eq!(quantile_ns(&figures, 1000), Some(101));
    }

    #[test]
    fn a_figure_on_a_border_belongs_to_the_class_above() {
        let counts = histogram(&[49_999, 50_000, 40_000_000]);
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
