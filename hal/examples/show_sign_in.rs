//! Shows a sign-in on this terminal for as many seconds as the first argument says (20), with the
//! plain address in the QR code if there is a second argument.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use signpost_hal::clock;
use signpost_hal::panel::{PanelThread, Terminal};
use signpost_hal::screen::{Screen, SignIn};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(20), |seconds| seconds.parse())?;
    let plain = "https://www.microsoft.com/devicelogin";
    let sign_in = SignIn {
        user_code: "WDJB-MJHT".to_owned(),
        verification_uri: plain.to_owned(),
        verification_uri_complete: arguments
            .next()
            .is_none()
            .then(|| format!("{plain}?user_code=WDJB-MJHT")),
        expires: clock::boot() + Duration::from_secs(872),
    };
    let (failed, failure) = std::sync::mpsc::channel();
    let open = || Ok(Box::new(Terminal::open(Path::new("/dev/tty"))?) as _);
    let panel = PanelThread::spawn("terminal", open, clock::boot, move |fault| {
        let _ = failed.send(fault.cloned());
    })?;
    panel.show(Screen::SignIn(sign_in));
    if let Ok(Some(fault)) = failure.recv_timeout(Duration::from_secs(seconds)) {
        return Err(fault.into());
    }
    panel.show(Screen::Online);
    panel.stop(Duration::from_secs(1));
    Ok(())
}
