//! What is suggested is accepted, and enough.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::*;
use super::World;
use crate::resolve::{KnownAddress, Standing};

const RULES: [&str; 10] = [
    "[[registry]]\nlogin_server = \"contoso.azurecr.io\"\ndata_regions = [\"westus\"]\n",
    "[[registry]]\nlogin_server = \"fabrikam.azurecr.cn\"\n",
    "[[registry]]\nkind = \"mcr\"\n",
    "[[allow]]\nname = \"a.example.com\"\n",
    "[[allow]]\nname = \"b.example.com\"\nprivate_link = [\"10.30.0.0/24\"]\n",
    "[[allow]]\nname = \"*.example.net\"\n",
    "[[allow]]\nprefix = \"198.51.100.0/30\"\n",
    "[[allow]]\nprefix = \"198.51.100.4/32\"\nserver_name = \"require\"\n",
    "[[allow]]\nprefix = [\"198.51.100.3/32\", \"10.20.0.0/30\"]\nserver_name = [\"c.example.com\", \"*.example.net\"]\n",
    "[[allow]]\nname = \"c.example.com\"\nprefix = \"203.0.113.0/24\"\n",
];

const TARGETS: [&str; 30] = [
    "a.example.com",
    "b.example.com",
    "c.example.com",
    "d.example.net",
    "e.f.example.net",
    "example.org",
    "contoso.azurecr.io",
    "contoso.eastus.data.azurecr.io",
    "contoso.westus.data.azurecr.io",
    "contoso.westus.geo.azurecr.io",
    "fabrikam.azurecr.cn",
    "fabrikam.chinaeast2.data.azurecr.cn",
    "fabrikam.chinaeast2.geo.azurecr.cn",
    "northwind-e7ggejfuhzhgedc8.azurecr.io",
    "northwind-e7ggejfuhzhgedc8.eastus.data.azurecr.io",
    "contoso.privatelink.azurecr.io",
    "ab.azurecr.us",
    "azurecr.io",
    "azurecr.us",
    "mcr.microsoft.com",
    "eastus.data.mcr.microsoft.com",
    "acct.blob.core.windows.net",
    "ghcr.io",
    "198.51.100.2",
    "198.51.100.3",
    "198.51.100.4",
    "198.51.100.5",
    "10.20.0.2",
    "169.254.169.254",
    "2001:db8::7",
];

fn server_names() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        4 => Just(None),
        4 => prop::sample::select(&TARGETS[..]).prop_map(|name| Some(name.to_owned())),
        1 => prop::sample::select(vec!["", "x.", "192.0.2.1", "a_b.example.net", "\"\n[[allow]]\n"])
            .prop_map(|name| Some(name.to_owned())),
        1 => any::<String>().prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_first_suggestion_is_accepted_and_enough(
        rules in prop::sample::subsequence(&RULES[..], 1..=RULES.len()),
        target in prop::sample::select(&TARGETS[..]),
        server_name in server_names(),
        is_looked_up: bool,
        remembers: bool,
        off in prop::bool::weighted(0.1),
    ) {
        let mut text = rules.join("\n");
        if off {
            text.insert_str(0, "[enforce]\nserver_name = \"off\"\n\n");
        }
        let mut world = World::new(&text);
        if is_looked_up {
            world.look_up(&[target, server_name.as_deref().unwrap_or_default()]);
        }
        if remembers && let Ok(address) = target.parse() {
            world.remembered = vec![(address, ServerName::parse("gone.example.com").unwrap(), None)];
        }
        let before = world.explain(target, server_name.as_deref(), Protocol::Tcp);
        let escape = '\u{1b}';
        prop_assert!(!before.to_string().contains(escape));
        for address in &before.addresses {
            let is_not_granted = address.reason.as_deref() == Some("address-not-granted");
            prop_assert_eq!(address.granted_by.is_empty(), is_not_granted, "{}", before);
            prop_assert_eq!(address.server_names.is_some(), address.granted_by.iter().any(|rule| rule.asks_for_names)
                && address.granted_by.iter().all(|rule| rule.asks_for_names));
        }
        if before.verdict.is_good() {
            prop_assert!(before.suggestions.is_empty());
            return Ok(());
        }
        let Some(first) = before.suggestions.first() else {
            // Without an address there is nothing to write where no rule can carry the session's name,
            prop_assert!(before.addresses.is_empty(), "{}", before);
            let is_name = |name: &String| ServerName::parse(name).is_ok_and(|parsed| parsed.as_str() == name);
            if server_name.as_ref().is_some_and(|name| !is_name(name)) {
                return Ok(());
            }
            // or for a name that a rule has already, and that resolves to nothing.
            let answer = before.names[0].answer.as_ref().unwrap();
            prop_assert!(answer.is_followed && answer.addresses.is_empty() && answer.refused.is_empty(), "{}", before);
            return Ok(());
        };
        let appended = format!("{text}\n{}\n", first.append.join("\n"));
        let looked_up = world.looked_up;
        let mut world = World::new(&appended);
        world.looked_up = looked_up;
        // Whatever is new has an address now.
        let with_address = |known: &Arc<NameSnapshot>| {
            if known.addresses.is_empty() && known.name.as_str() == before.target && !rules.concat().contains(&before.target) {
                let address = KnownAddress {
                    address: "198.51.100.200".parse().unwrap(),
                    expires: world.now,
                    standing: Standing::Current,
                };
                return Arc::new(NameSnapshot { addresses: Arc::from([address]), ..NameSnapshot::clone(known) });
            }
            Arc::clone(known)
        };
        world.answers.names = world.answers.names.iter().map(with_address).collect();
        let mut after = world.explain(target, server_name.as_deref(), Protocol::Tcp);
        if after.addresses.is_empty() {
            // Refused or missing answers of the name are as they were; what was suggested is about its addresses.
            let refused = &before.names[0].answer.as_ref().unwrap().refused;
            prop_assert!(!refused.is_empty(), "{}", before);
            let name = server_name.as_deref().unwrap_or(target);
            after = world.explain(&refused[0].address.to_string(), Some(name), Protocol::Tcp);
        }
        prop_assert!(after.verdict.is_good(), "{}\n\n{}\n{}", before, appended, after);
    }
}
