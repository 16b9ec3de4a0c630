//! A time server of one board (RFC 5905, server mode alone), which knows the time however wrong the
//! board's own clock is: `ntp SECONDS`, what it was since 1970 when the board was switched on.
#![expect(clippy::print_stderr, reason = "it is a program to look at")]

use signpost_hal::clock;
use std::{io, net::UdpSocket, process::ExitCode, time::Duration};

/// From 1900, where NTP begins, to 1970.
const ERA: u64 = 2_208_988_800;

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1).and_then(|text| text.parse().ok()) else {
        eprintln!("usage: ntp SECONDS");
        return ExitCode::from(2);
    };
    match serve(Duration::from_secs(base)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ntp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(base: Duration) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:123")?;
    let mut asked = [0; 48];
    loop {
        let (length, who) = socket.recv_from(&mut asked)?;
        if length == asked.len() {
            let now = timestamp(base + clock::boot());
            socket.send_to(&answer(&asked, now), who)?;
        }
    }
}

/// A packet of a primary server, RFC 5905 section 7.3.
fn answer(asked: &[u8; 48], now: [u8; 8]) -> [u8; 48] {
    let mut packet = [0; 48];
    // No leap second, the version that was asked for, mode 4; stratum 1; polls; 2^-20 s.
    packet[0] = (asked[0] & 0x38) | 4;
    packet[1] = 1;
    packet[2] = asked[2];
    packet[3] = 0xec;
    // The root's delay and dispersion: a millisecond and so.
    packet[7] = 64;
    packet[11] = 64;
    packet[12..16].copy_from_slice(b"PPS\0");
    packet[16..24].copy_from_slice(&now);
    packet[24..32].copy_from_slice(&asked[40..48]);
    packet[32..40].copy_from_slice(&now);
    packet[40..48].copy_from_slice(&now);
    packet
}

/// Seconds since 1900 and their fraction, modulo 2^32 seconds.
fn timestamp(since_1970: Duration) -> [u8; 8] {
    let seconds = (since_1970.as_secs() + ERA) << 32;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds | fraction).to_be_bytes()
}
