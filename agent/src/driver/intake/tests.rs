use super::*;
use crate::{config::Span, records::Arrival};

const ANNA: OwnerId = OwnerId([7; 16]);

fn at(millis: u64) -> Boot {
    Boot::new(Duration::from_millis(millis))
}

fn handed(number: u64, millis: u64, bytes: usize) -> Handed {
    let arrival = Arrival { boot_id: [0; 16], boot: at(millis), wall: None, unset: None };
    let envelope = Envelope::new(Signal::Logs, arrival, vec![0; bytes]);
    Handed { caller: CallerId(number), events: false, volatile: false, envelope }
}

/// What is appended at `millis`: how many records, if any.
fn appends(intake: &mut Intake, millis: u64) -> Option<usize> {
    intake.next_append(at(millis)).map(|job| group_of(job).1.len())
}

fn group_of(job: Job) -> (Queue, Vec<Envelope>) {
    let (Job::Append(queue, group) | Job::Report(queue, group)) = job else { panic!("{job:?}") };
    (queue, group)
}

fn saved(intake: &mut Intake) -> usize {
    intake.appended(Ok(())).filter(|(_, answer)| matches!(answer, Answer::Done)).count()
}

#[test]
fn whoever_comes_alone_waits_for_nobody() {
    let mut intake = Intake::new(Commit::Each);
    for second in [1_000, 2_000] {
        assert!(intake.take(handed(second, second, 100), ANNA).is_none());
        assert_eq!(intake.wake(), Some(at(second)));
        assert_eq!(appends(&mut intake, second), Some(1));
        assert_eq!(saved(&mut intake), 1);
        assert_eq!(intake.wake(), None);
    }
}

#[test]
fn many_small_records_share_a_commit_in_each_turn() {
    let mut intake = Intake::new(Commit::Each);
    let (mut commits, mut records) = (0, 0);
    // A record each millisecond, for a second.
    for millis in 0..1_000 {
        intake.take(handed(millis, millis, 100), ANNA);
        if let Some(group) = appends(&mut intake, millis) {
            commits += 1;
            records += group;
            assert_eq!(saved(&mut intake), group);
        }
    }
    assert_eq!(commits, 50, "one for each {LINGER:?}");
    assert!(records > 970, "{records}");
}

#[test]
fn streams_that_came_together_do_not_wait_for_each_other() {
    let mut intake = Intake::new(Commit::Each);
    intake.take(handed(1, 0, 100), ANNA);
    let mut metrics = handed(2, 0, 100);
    metrics.envelope.signal = Signal::Metrics;
    intake.take(metrics, ANNA);
    intake.take(Handed { events: true, ..handed(3, 0, 100) }, ANNA);
    for stream in [Stream::Logs, Stream::Metrics, Stream::Events] {
        let (queue, group) = group_of(intake.next_append(at(0)).unwrap());
        assert_eq!((queue.stream, queue.owner, group.len()), (stream, ANNA, 1));
        assert_eq!(appends(&mut intake, 5), None, "one at a time");
        assert_eq!(saved(&mut intake), 1);
    }
}

#[test]
fn what_is_worth_a_commit_does_not_linger() {
    let mut intake = Intake::new(Commit::Within(Span::seconds(10)));
    intake.take(handed(1, 0, ENOUGH), ANNA);
    assert_eq!(appends(&mut intake, 0), Some(1));
    assert_eq!(saved(&mut intake), 1);
    for number in 0..MANY as u64 {
        assert_eq!(appends(&mut intake, 1), None);
        intake.take(handed(number, 1, 10), ANNA);
    }
    assert_eq!(appends(&mut intake, 1), Some(MANY), "as many as there may be connections");
}

#[test]
fn with_a_span_everybody_waits_for_it_and_no_longer() {
    let mut intake = Intake::new(Commit::Within(Span::seconds(10)));
    intake.take(handed(1, 500, 100), ANNA);
    intake.take(handed(2, 9_000, 100), ANNA);
    assert_eq!(intake.wake(), Some(at(10_500)));
    assert_eq!(appends(&mut intake, 10_499), None);
    assert_eq!(appends(&mut intake, 10_500), Some(2));
    assert_eq!(saved(&mut intake), 2);
    intake.take(handed(3, 10_600, 100), ANNA);
    assert_eq!(intake.wake(), Some(at(20_600)));
    intake.close();
    assert_eq!(appends(&mut intake, 10_601), Some(1), "the agent stops");
}

#[test]
fn what_is_volatile_is_answered_and_written_all_the_same() {
    let mut intake = Intake::new(Commit::Each);
    let answer = intake.take(Handed { volatile: true, ..handed(1, 0, 100) }, ANNA);
    assert!(matches!(answer, Some(Answer::Done)));
    assert_eq!(appends(&mut intake, 0), Some(1));
    assert_eq!(saved(&mut intake), 0, "nobody is told twice");
    let full = Handed { volatile: true, ..handed(2, 0, MAX_WAITING + 1) };
    assert!(matches!(intake.take(full, ANNA), Some(Answer::TryLater(_))));
}

#[test]
fn who_signs_out_leaves_nothing_behind_that_waits() {
    let mut intake = Intake::new(Commit::Within(Span::seconds(10)));
    intake.take(handed(1, 0, 100), ANNA);
    assert!(intake.has_of_others(OwnerId::DEVICE) && !intake.has_of_others(ANNA));
    intake.hurry(at(5));
    assert_eq!(appends(&mut intake, 5), Some(1));
    assert!(!intake.has_of_others(OwnerId::DEVICE), "it is on its way");
}

#[test]
fn invariant_4_what_was_answered_before_and_flash_refuses_is_counted() {
    let mut intake = Intake::new(Commit::Each);
    // Two log records, one request: resource, scope, records.
    let body = b"\x0a\x06\x12\x04\x12\x00\x12\x00".to_vec();
    for number in [1, 2] {
        let mut volatile = Handed { volatile: true, ..handed(number, 0, 0) };
        volatile.envelope.body.clone_from(&body);
        intake.take(volatile, ANNA);
    }
    intake.take(handed(3, 0, 100), ANNA);
    intake.report(ANNA, handed(4, 0, 100).envelope);
    assert_eq!(appends(&mut intake, 0), Some(3));
    let lost = Dropped { records: 4, signal: Signal::Logs, reason: DropReason::NotSaved };
    assert_eq!(intake.unsaved(), Some((ANNA, vec![lost])));
    let told: Vec<_> = intake.appended(Err(StorageTrouble::Failed)).collect();
    assert!(matches!(told[..], [(CallerId(3), Answer::NotSaved)]), "who waited is told");
    assert_eq!(appends(&mut intake, 30), Some(1));
    assert_eq!(intake.unsaved(), None, "the agent's own is no promise to anybody");
}
