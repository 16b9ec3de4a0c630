//! Issuers that do not let devices sign in, told apart from clients that are set up wrongly.

use super::*;

const BLOCKED: [&str; 5] = [
    "unauthorized_client",
    "unsupported_grant_type",
    "device_flow_disabled",
    "admin_policy_enforced",
    "org_internal",
];

#[test]
fn a_tenant_that_blocks_device_sign_in_is_said_and_asked_again_now_and_then() {
    for code in BLOCKED {
        let mut rig = Rig::fresh();
        rig.answer(&error(code));
        assert_eq!(rig.session.view(), View::Blocked, "{code}");
        assert_eq!(rig.session.state(), State::Fault);
        assert!(rig.session.faults().has(Fault::NoDeviceFlow));
        assert!(!rig.session.faults().has(Fault::ClientRefused));
        rig.pass(29);
        assert!(rig.sent.is_empty(), "no sooner than half a minute");
        let mut asked = 0;
        for _ in 0..24 {
            rig.pass(3_600);
            asked += rig.sent.len();
            while !rig.sent.is_empty() {
                rig.answer(&error(code));
            }
        }
        assert!((20..=40).contains(&asked), "{asked} a day");
        rig.pass(3_600);
        rig.answer(&json(200, CODE));
        assert!(matches!(rig.session.view(), View::SignIn(_)), "somebody has allowed it");
        assert_eq!(rig.session.faults().iter().count(), 0);
    }
}

#[test]
fn a_policy_that_speaks_after_the_approval_is_said_too() {
    for code in BLOCKED {
        let mut rig = Rig::fresh();
        rig.answer(&json(200, CODE));
        rig.pass(5);
        rig.answer(&error(code));
        assert_eq!(rig.session.view(), View::Blocked, "{code}");
        assert!(rig.events.contains(&Event::PairingEnded(Ending::Refused)));
        rig.pass(86_400);
        assert!(rig.sent.is_empty(), "nobody is asked to approve for nothing");
    }
}

#[test]
fn a_client_that_is_set_up_wrongly_is_another_fault() {
    for code in ["invalid_client", "invalid_scope", "invalid_request"] {
        let mut rig = Rig::fresh();
        rig.answer(&error("unauthorized_client"));
        rig.pass(60);
        rig.answer(&error(code));
        assert_eq!(rig.session.view(), View::Fault(Fault::ClientRefused), "{code}");
        assert!(!rig.session.faults().has(Fault::NoDeviceFlow));
    }
}
