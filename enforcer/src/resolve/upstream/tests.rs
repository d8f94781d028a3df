use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{CNAME, NS};

use super::*;

fn wire_name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn address(owner: &str, text: &str) -> WireRecord {
    WireRecord::from_rdata(wire_name(owner), 60, RData::from(text.parse::<IpAddr>().unwrap()))
}

/// What is read out of a response to the A question for `a.example.com`, after `change` made it up.
fn read_after(change: impl FnOnce(&mut Message)) -> Result<Answer, AskError> {
    let query = query(&DnsName::new("a.example.com"), Family::V4).unwrap();
    let mut message = Message::response(1, OpCode::Query);
    message.add_query(query.clone());
    change(&mut message);
    read(&DnsResponse::from_message(message).unwrap(), &query)
}

fn owners(answer: &Answer) -> Vec<&str> {
    answer
        .records
        .iter()
        .map(|record| record.owner.as_str())
        .collect()
}

#[test]
fn only_the_answer_section_is_read() {
    let answer = read_after(|message| {
        message.add_answer(address("A.Example.COM.", "198.51.100.1"));
        message.add_authority(address("a.example.com.", "203.0.113.66"));
        message.add_additional(address("a.example.com.", "203.0.113.67"));
    });
    let answer = answer.unwrap();
    assert_eq!(owners(&answer), ["a.example.com"]);
    assert_eq!(
        answer.records[0].data,
        RecordData::Address("198.51.100.1".parse().unwrap())
    );
}

#[test]
fn records_of_other_classes_and_types_are_left_out() {
    let answer = read_after(|message| {
        let mut chaos = address("a.example.com.", "203.0.113.66");
        chaos.dns_class = DNSClass::CH;
        message.add_answer(chaos);
        message.add_answer(WireRecord::from_rdata(
            wire_name("a.example.com."),
            60,
            RData::NS(NS(wire_name("ns.example.com."))),
        ));
        message.add_answer(WireRecord::from_rdata(
            wire_name("a.example.com."),
            60,
            RData::CNAME(CNAME(wire_name("B.example.com."))),
        ));
    });
    assert_eq!(
        answer.unwrap().records,
        [Record {
            owner: DnsName::new("a.example.com"),
            ttl: 60,
            data: RecordData::Alias(DnsName::new("b.example.com")),
        }]
    );
}

#[test]
fn an_answer_to_another_question_is_none() {
    let good = address("a.example.com.", "198.51.100.1");
    let other = |name: &str, kind| Query::query(wire_name(name), kind);
    for queries in [
        vec![],
        vec![other("b.example.com.", RecordType::A)],
        vec![other("a.example.com.", RecordType::AAAA)],
        vec![
            other("a.example.com.", RecordType::A),
            other("b.example.com.", RecordType::A),
        ],
    ] {
        let answer = read_after(|message| {
            message.queries.clone_from(&queries);
            message.add_answer(good.clone());
        });
        assert!(
            matches!(&answer, Err(AskError::Garbage(why)) if why.contains("another question")),
            "{queries:?}: {answer:?}"
        );
    }
    // An upstream may give the name back in another case.
    let answer = read_after(|message| {
        message.queries = vec![other("A.EXAMPLE.com.", RecordType::A)];
        message.add_answer(good);
    });
    assert_eq!(owners(&answer.unwrap()), ["a.example.com"]);
}

#[test]
fn a_referral_and_a_truncated_answer_are_no_answers() {
    let referral = read_after(|message| {
        message.add_authority(WireRecord::from_rdata(
            wire_name("example.com."),
            60,
            RData::NS(NS(wire_name("ns.example.com."))),
        ));
    });
    assert_eq!(referral, Err(AskError::Referral));
    let truncated = read_after(|message| {
        message.metadata.truncation = true;
        message.add_answer(address("a.example.com.", "198.51.100.1"));
    });
    assert!(matches!(truncated, Err(AskError::Garbage(_))), "{truncated:?}");
}
