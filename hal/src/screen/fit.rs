//! Which QR code fits where: modules of two pixels at the least, for a camera sees nothing smaller
//! on any panel; a quiet zone of four modules, else two, else one on the smallest panels.

/// The size and quiet zone of a symbol on a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// Pixels along the edge of a module.
    pub(super) scale: u16,
    /// Light modules on each side.
    pub(super) quiet: u16,
    /// Pixels along the edge of both.
    pub(super) side: u16,
}

/// Edges of a panel, in pixels, between which one module of quiet is better than no code.
const SMALLEST: std::ops::Range<u16> = 64..100;

/// Every way to show a symbol of `modules` within `room` pixels on a panel whose shorter edge is
/// `edge`, the best first. Scale decides what a camera reads, above all.
pub(super) fn fits(modules: usize, room: u16, edge: u16) -> impl Iterator<Item = Fit> {
    let modules = u16::try_from(modules).unwrap_or(u16::MAX);
    let fit = move |scale: u16, quiet: u16| {
        let side = modules.saturating_add(2 * quiet).saturating_mul(scale);
        (side <= room).then_some(Fit { scale, quiet, side })
    };
    let most = room / modules.max(1);
    let large = (3..=most).rev().map(|scale| (scale, 4));
    let small = [(3, 2), (2, 4), (2, 2)];
    let last = SMALLEST.contains(&edge).then_some((2, 1));
    large.chain(small).chain(last).filter_map(move |(scale, quiet)| fit(scale, quiet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(modules: usize, room: u16) -> Option<(u16, u16)> {
        fits(modules, room, room).next().map(|fit| (fit.scale, fit.quiet))
    }

    #[test]
    fn a_panel_of_64_rows_carries_29_modules() {
        assert_eq!(
            [21, 25, 29].map(|modules| best(modules, 64)),
            [Some((2, 4)), Some((2, 2)), Some((2, 1))]
        );
        assert_eq!(best(33, 64), None);
    }

    #[test]
    fn never_on_48_or_32_rows() {
        assert_eq!(best(21, 48), None);
        assert_eq!(best(21, 32), None);
    }

    #[test]
    fn scale_comes_before_quiet_and_one_module_of_quiet_is_for_the_smallest() {
        assert_eq!(best(29, 37 * 3), Some((3, 4)));
        assert_eq!(best(29, 33 * 3), Some((3, 2)));
        assert_eq!(best(29, 37 * 2), Some((2, 4)));
        assert_eq!(best(29, 33 * 2), Some((2, 2)));
        assert_eq!(best(49, 102), None);
        assert_eq!(best(usize::MAX, 64), None);
    }
}
