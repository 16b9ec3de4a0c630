//! The one timer of the run loop: a timerfd on `CLOCK_BOOTTIME`. Unlike every timer of the
//! runtime it counts the time that the board sleeps, so that nobody has to wake up to look.

use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use signpost_core::time::Boot;
use std::{io, os::fd::OwnedFd, time::Duration};
use tokio::io::{Interest, unix::AsyncFd};

/// See the module.
#[derive(Debug)]
pub(super) struct Timer {
    fd: AsyncFd<OwnedFd>,
    at: Option<Boot>,
}

impl Timer {
    /// A timer at rest, on the current runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Boottime, flags)?;
        #[expect(
            deprecated,
            reason = "its heir is unsafe for descriptors that are not owned alone"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { fd, at: None })
    }

    /// Has the timer end at `at`; at once, if that is over.
    pub(super) fn set(&mut self, at: Option<Boot>) -> io::Result<()> {
        if self.at == at {
            return Ok(());
        }
        // Zero would switch it off.
        let value = at.map_or(Duration::ZERO, |at| at.since_boot().max(Duration::from_nanos(1)));
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(value).unwrap_or(none);
        let spec = Itimerspec { it_interval: none, it_value };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.at = at;
        Ok(())
    }

    /// Waits for the end. It is over only once: [`Timer::set`] starts it again.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.fd.readable().await?;
            match rustix::io::read(self.fd.get_ref(), &mut [0; 8]) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    self.at = None;
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_hal::clock;

    #[tokio::test]
    async fn it_ends_at_its_time_and_not_before() {
        let mut timer = Timer::new().unwrap();
        timer.set(Some(Boot::default())).unwrap();
        timer.ended().await.unwrap();
        let at = Boot::new(clock::boot() + Duration::from_millis(20));
        timer.set(Some(at)).unwrap();
        timer.set(Some(at)).unwrap();
        timer.ended().await.unwrap();
        assert!(Boot::new(clock::boot()) >= at);
    }

    #[tokio::test]
    async fn a_timer_that_is_moved_does_not_end_early() {
        let mut timer = Timer::new().unwrap();
        timer.set(Some(Boot::default())).unwrap();
        timer.set(Some(Boot::new(clock::boot() + Duration::from_secs(3600)))).unwrap();
        let ended = tokio::time::timeout(Duration::from_millis(20), timer.ended()).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
