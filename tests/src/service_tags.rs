//! Files of service tags as they are published, of any size: for tests and benchmarks.
//!
//! What is alike: `AzureCloud` has all prefixes, `AzureCloud.<Region>` those of a region, `<Service>.<Region>` a part of
//! those, `<Service>` all of its regions, so that most prefixes stand in several tags; some of a service lie inside
//! others; about three of ten are of IPv6; the lengths are those that are common, mostly /32 to /24 and /128 to /48; the
//! text is laid out line by line with carriage returns, `AzureCloud` comes late. What is not: the addresses. They are of
//! `16.0.0.0/5` and `2600::/12`, and belong to nobody here: send nothing to them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A file and what is in it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The text of the file.
    pub text: String,
    /// Its tags, in the order of the file.
    pub tags: Vec<ExpectedTag>,
}

/// What a tag of a file has.
#[derive(Clone, Debug)]
pub struct ExpectedTag {
    /// Its name.
    pub name: String,
    /// Its prefixes as they are listed.
    pub prefixes: Vec<IpNet>,
}

/// The tag that has every prefix.
pub const EVERYTHING: &str = "AzureCloud";

/// What `changeNumber` is.
pub const CHANGE_NUMBER: u64 = 352;

const REGIONS: [&str; 60] = [
    "AustraliaCentral",
    "AustraliaCentral2",
    "AustraliaEast",
    "AustraliaSoutheast",
    "AustriaEast",
    "BelgiumCentral",
    "BrazilSouth",
    "BrazilSoutheast",
    "CanadaCentral",
    "CanadaEast",
    "CentralIndia",
    "CentralUS",
    "CentralUSEUAP",
    "ChileCentral",
    "DenmarkEast",
    "EastAsia",
    "EastUS",
    "EastUS2",
    "EastUS2EUAP",
    "EastUSSTG",
    "FranceCentral",
    "FranceSouth",
    "GermanyNorth",
    "GermanyWestCentral",
    "IndonesiaCentral",
    "IsraelCentral",
    "ItalyNorth",
    "JapanEast",
    "JapanWest",
    "JioIndiaCentral",
    "JioIndiaWest",
    "KoreaCentral",
    "KoreaSouth",
    "MalaysiaSouth",
    "MalaysiaWest",
    "MexicoCentral",
    "NewZealandNorth",
    "NorthCentralUS",
    "NorthEurope",
    "NorwayEast",
    "NorwayWest",
    "PolandCentral",
    "QatarCentral",
    "SouthAfricaNorth",
    "SouthAfricaWest",
    "SouthCentralUS",
    "SouthCentralUSSTG",
    "SouthIndia",
    "SoutheastAsia",
    "SpainCentral",
    "SwedenCentral",
    "SwedenSouth",
    "SwitzerlandNorth",
    "SwitzerlandWest",
    "TaiwanNorth",
    "UAECentral",
    "UAENorth",
    "UKSouth",
    "UKWest",
    "WestEurope",
];

const SERVICES: [&str; 48] = [
    "ActionGroup",
    "ApiManagement",
    "AppConfiguration",
    "AppService",
    "AppServiceManagement",
    "AutonomousDevelopmentPlatform",
    "AzureAD",
    "AzureActiveDirectory",
    "AzureArcInfrastructure",
    "AzureBackup",
    "AzureBotService",
    "AzureCognitiveSearch",
    "AzureConnectors",
    "AzureContainerRegistry",
    "AzureCosmosDB",
    "AzureDataLake",
    "AzureDatabricks",
    "AzureDevOps",
    "AzureDevSpaces",
    "AzureDigitalTwins",
    "AzureEventGrid",
    "AzureIoTHub",
    "AzureKeyVault",
    "AzureLoadBalancer",
    "AzureMachineLearning",
    "AzureMonitor",
    "AzureOpenDatasets",
    "AzureResourceManager",
    "AzureSiteRecovery",
    "AzureStack",
    "AzureTrafficManager",
    "BatchNodeManagement",
    "CognitiveServicesManagement",
    "DataFactory",
    "DataFactoryManagement",
    "Dynamics365",
    "EventHub",
    "GatewayManager",
    "GuestAndHybridManagement",
    "HDInsight",
    "LogicApps",
    "MicrosoftContainerRegistry",
    "PowerBI",
    "PowerQueryOnline",
    "ServiceBus",
    "ServiceFabric",
    "Sql",
    "Storage",
];

/// How often prefixes of IPv4 have which length, in hundredths.
const LENGTHS_V4: [(u8, u32); 16] = [
    (32, 22),
    (31, 9),
    (30, 8),
    (29, 9),
    (28, 9),
    (27, 7),
    (26, 7),
    (25, 6),
    (24, 9),
    (23, 4),
    (22, 3),
    (21, 2),
    (20, 2),
    (19, 1),
    (18, 1),
    (17, 1),
];

/// The same of IPv6.
const LENGTHS_V6: [(u8, u32); 10] = [
    (128, 14),
    (127, 6),
    (126, 6),
    (125, 12),
    (124, 12),
    (123, 8),
    (122, 7),
    (121, 6),
    (64, 15),
    (48, 14),
];

/// A file whose tag [`EVERYTHING`] has `prefixes` different prefixes; all its tags together list about three times as
/// many. The same for the same `seed`.
#[must_use]
pub fn generate(prefixes: usize, seed: u64) -> String {
    generate_with(prefixes, seed).text
}

/// As [`generate`], with what is in it.
///
/// # Panics
/// Beyond some millions of prefixes, for which there is no room.
#[must_use]
pub fn generate_with(prefixes: usize, seed: u64) -> Generated {
    let mut random = Random(seed);
    let all = addresses(prefixes, &mut random);
    // Neighbours are of one region, and of one service as a rule.
    let mut by_region: Vec<Vec<IpNet>> = vec![Vec::new(); REGIONS.len()];
    let mut by_service: Vec<Vec<Vec<IpNet>>> = vec![vec![Vec::new(); REGIONS.len()]; SERVICES.len()];
    let (mut region, mut service) = (0, 0);
    for net in &all {
        if random.below(8) == 0 {
            (region, service) = (random.below(REGIONS.len()), random.below(SERVICES.len()));
        }
        by_region[region].push(*net);
        if random.below(10) < 9 {
            by_service[service][region].push(*net);
        }
    }
    let mut tags = Vec::new();
    let mut push = |name: String, mut prefixes: Vec<IpNet>| {
        // By their addresses, those of IPv4 first, as in the file that is published.
        prefixes.sort_unstable();
        if !prefixes.is_empty() {
            tags.push(ExpectedTag { name, prefixes });
        }
    };
    for (service, regions) in SERVICES.iter().zip(&by_service) {
        push((*service).to_owned(), regions.concat());
        for (region, prefixes) in REGIONS.iter().zip(regions) {
            push(format!("{service}.{region}"), prefixes.clone());
        }
    }
    for (region, prefixes) in REGIONS.iter().zip(&by_region) {
        push(format!("{EVERYTHING}.{region}"), prefixes.clone());
    }
    push(EVERYTHING.to_owned(), all);
    let text = text_of(&tags, CHANGE_NUMBER);
    Generated { text, tags }
}

/// The text of a file with these tags.
#[must_use]
pub fn text_of(tags: &[ExpectedTag], change_number: u64) -> String {
    let mut out = String::new();
    // Writing to a String can not fail.
    let _ = write_file(&mut out, tags, change_number);
    out
}

fn write_file(out: &mut String, tags: &[ExpectedTag], change_number: u64) -> std::fmt::Result {
    write!(
        out,
        "{{\r\n  \"changeNumber\": {change_number},\r\n  \"cloud\": \"Public\",\r\n  \"values\": ["
    )?;
    for (number, tag) in tags.iter().enumerate() {
        let name = &tag.name;
        let (service, region) = name.split_once('.').unwrap_or((name, ""));
        let comma = if number == 0 { "" } else { "," };
        write!(
            out,
            "{comma}\r\n    {{\r\n      \"name\": \"{name}\",\r\n      \"id\": \"{name}\",\r\n      \"properties\": {{\r\n        \
             \"changeNumber\": {},\r\n        \"region\": \"{}\",\r\n        \"regionId\": {},\r\n        \
             \"platform\": \"Azure\",\r\n        \"systemService\": \"{service}\",\r\n        \"addressPrefixes\": [",
            number % 90 + 1,
            region.to_ascii_lowercase(),
            region.len(),
        )?;
        for (at, prefix) in tag.prefixes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(out, "{comma}\r\n          \"{prefix}\"")?;
        }
        write!(
            out,
            "\r\n        ],\r\n        \"networkFeatures\": [\r\n          \"API\",\r\n          \"NSG\",\r\n          \"UDR\",\r\n          \
             \"FW\"\r\n        ]\r\n      }}\r\n    }}"
        )?;
    }
    out.push_str("\r\n  ]\r\n}");
    Ok(())
}

/// Different prefixes, about three of ten of IPv6; of twenty IPv4 prefixes one lies inside the one before it.
fn addresses(count: usize, random: &mut Random) -> Vec<IpNet> {
    // From 16.0.0.0 on, with gaps so that the last one is still below 24.0.0.0.
    let (mut v4, mut v6) = (16_u32 << 24, 0x2600_u128 << 112);
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        if random.below(100) < 30 {
            let length = random.of(&LENGTHS_V6);
            let size = 1_u128 << (128 - length);
            // Regions have blocks of their own: now and then one begins at the next /48.
            let begin = if random.below(16) == 0 {
                (v6 | ((1 << 80) - 1)) + 1
            } else {
                v6
            };
            let begin = begin.div_ceil(size) * size;
            v6 = begin + size * (1 + random.below(3) as u128);
            let net = Ipv6Net::new(Ipv6Addr::from_bits(begin), length).expect("a length of IPv6");
            all.push(IpNet::V6(net));
        } else {
            let length = random.of(&LENGTHS_V4);
            let size = 1_u32 << (32 - length);
            let begin = v4
                .checked_next_multiple_of(size)
                .expect("there is room for so many");
            v4 = begin.checked_add(size).expect("there is room for so many");
            // The next one does not join it, as a rule.
            v4 += u32::try_from(random.below(4)).unwrap_or(0) * size.min(64);
            let net = Ipv4Net::new(Ipv4Addr::from_bits(begin), length).expect("a length of IPv4");
            all.push(IpNet::V4(net));
            if all.len() < count && length < 30 && random.below(20) == 0 {
                let inner = Ipv4Net::new(Ipv4Addr::from_bits(begin), length + 2).expect("a length of IPv4");
                all.push(IpNet::V4(inner));
            }
        }
    }
    all
}

/// SplitMix64: the same numbers everywhere and for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn of(&mut self, weighted: &[(u8, u32)]) -> u8 {
        let total: u32 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut at = u32::try_from(self.below(total as usize)).unwrap_or(0);
        for (value, weight) in weighted {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        weighted[0].0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_file_is_as_large_as_asked_for_and_the_same_again() {
        for count in [0, 1, 10_000] {
            let generated = generate_with(count, 7);
            let all = generated.tags.iter().find(|tag| tag.name == EVERYTHING);
            let prefixes = all.map_or(&[][..], |tag| &tag.prefixes);
            assert_eq!(prefixes.len(), count);
            assert_eq!(prefixes.iter().collect::<HashSet<_>>().len(), count);
            assert_eq!(generate(count, 7), generated.text);
        }
        assert_ne!(generate(1000, 7), generate(1000, 8));
    }

    #[test]
    fn tags_are_nested_and_a_third_is_of_ipv6() {
        let tags = generate_with(10_000, 1).tags;
        let of = |name: &str| -> HashSet<IpNet> {
            let tag = tags.iter().find(|tag| tag.name == name);
            tag.unwrap().prefixes.iter().copied().collect()
        };
        // Not every service is in every region.
        let (service, region) = tags
            .iter()
            .filter_map(|tag| tag.name.split_once('.'))
            .find(|(service, _)| *service != EVERYTHING)
            .unwrap();
        let regional = of(&format!("{service}.{region}"));
        assert!(!regional.is_empty());
        assert!(regional.is_subset(&of(service)));
        assert!(regional.is_subset(&of(&format!("{EVERYTHING}.{region}"))));
        assert!(of(&format!("{EVERYTHING}.{region}")).is_subset(&of(EVERYTHING)));
        let all = of(EVERYTHING);
        let v6 = all.iter().filter(|net| matches!(net, IpNet::V6(_))).count();
        assert!((2500..3500).contains(&v6), "{v6}");
        let listed: usize = tags.iter().map(|tag| tag.prefixes.len()).sum();
        assert!((30_000..40_000).contains(&listed), "{listed}");
        assert!(all.iter().all(|net| net.trunc() == *net));
    }

    #[test]
    fn the_text_is_json_and_says_what_is_expected() {
        let generated = generate_with(500, 3);
        let json: serde_json::Value = serde_json::from_str(&generated.text).unwrap();
        assert_eq!(json["changeNumber"], CHANGE_NUMBER);
        for (value, tag) in json["values"].as_array().unwrap().iter().zip(&generated.tags) {
            assert_eq!(value["name"], tag.name);
            let listed = value["properties"]["addressPrefixes"].as_array().unwrap();
            let expected: Vec<String> = tag.prefixes.iter().map(ToString::to_string).collect();
            assert_eq!(listed, &expected);
        }
    }
}
