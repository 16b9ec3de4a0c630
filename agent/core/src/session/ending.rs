//! The end of a grant that the issuer has set a date for: announced while there is time.

use super::{Grant, Session};
use crate::{
    fault::Fault,
    time::{Boot, Wall},
};
use core::time::Duration;

/// So long before its end a grant is announced to end, if it lives for at least five times as long.
const NOTICE: Duration = Duration::from_secs(14 * 86_400);

/// Two statements of one end may differ by so much.
const SAME: Duration = Duration::from_secs(600);

impl Grant {
    /// The issuer says at `now` that the refresh token lives for `left` more.
    ///
    /// Where each use prolongs it the lifetime begins anew each time; where only a sign-in does,
    /// `left` shrinks and the lifetime stays.
    pub(super) fn prolong(&mut self, left: Duration, now: Wall) {
        let end = now + left;
        let is_later = self.expires_at.is_none_or(|known| known + SAME < end);
        // Half a lifetime may have passed unsaid: what is left is all that is known.
        if is_later || self.lifetime.is_none() {
            self.lifetime = Some(left);
        }
        // The same end said again in other words is not worth a write.
        let is_same = self.expires_at.is_some_and(|known| {
            known.since_epoch().abs_diff(end.since_epoch()) <= Duration::from_secs(2)
        });
        if !is_same {
            self.expires_at = Some(end);
        }
    }

    /// When its end is announced, and the end.
    fn announced_at(&self) -> Option<(Wall, Wall)> {
        let end = self.expires_at.filter(|_| self.suspension.is_none())?;
        let notice = self.lifetime.map_or(NOTICE, |lifetime| (lifetime / 5).min(NOTICE));
        Some((Wall::new(end.since_epoch().saturating_sub(notice)), end))
    }
}

impl Session {
    fn announcement(&self) -> Option<(Wall, Wall)> {
        self.record.grant.as_ref()?.announced_at()
    }

    /// The end of the sign-in, if it is near.
    pub(super) fn ends_soon(&self) -> Option<Wall> {
        self.announcement().map(|(_, end)| end).filter(|_| self.faults.has(Fault::SignInEnds))
    }

    /// By today's clock; a clock that is set anew is asked anew.
    pub(super) fn ending_wake(&self) -> Option<Boot> {
        let (from, _) = self.announcement().filter(|_| !self.faults.has(Fault::SignInEnds))?;
        let wall = self.gate.usable(self.now)?;
        Some(self.now.boot + from.since_epoch().saturating_sub(wall.since_epoch()))
    }

    pub(super) fn announce_end(&mut self) {
        let Some(wall) = self.gate.usable(self.now) else { return };
        match self.announcement() {
            Some((from, _)) if from <= wall => self.raise_fault(Fault::SignInEnds),
            Some(_) | None => self.clear_fault(Fault::SignInEnds),
        }
    }
}
