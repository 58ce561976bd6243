//! The property list of a packet: read once into the struct of the packet, written from it.

use super::{Property, SubscriptionIds, UserProperties, WireList};
use crate::sink::{Counter, Sink};
use crate::wire::Reader;
use crate::{DecodeError, DecodeErrorKind as Kind, EncodeError};

/// The properties of one packet type.
pub(crate) trait PropertyList<'a>: Default {
    /// Whether subscription identifiers may repeat, as in PUBLISH.
    const REPEATS_SUBSCRIPTION_ID: bool = false;

    /// Takes a property; false if it has no place here.
    fn set(&mut self, property: Property<'a>) -> bool;

    /// Takes the properties that may repeat.
    fn set_lists(&mut self, user_properties: UserProperties<'a>, subscription_ids: SubscriptionIds<'a>);

    /// Calls `put` with each property that is there.
    fn each(&self, put: &mut impl FnMut(Property<'a>) -> Result<(), EncodeError>) -> Result<(), EncodeError>;
}

/// Implements [`PropertyList`] for a struct of options: which field takes which property.
macro_rules! property_list {
    ($name:ident { $($field:ident: $property:ident),* $(,)? } $($subscription_ids:ident)?) => {
        impl<'a> $crate::property::PropertyList<'a> for $name<'a> {
            $(const REPEATS_SUBSCRIPTION_ID: bool = stringify!($subscription_ids).len() > 0;)?

            fn set(&mut self, property: $crate::property::Property<'a>) -> bool {
                match property {
                    $($crate::property::Property::$property(value) => {
                        self.$field = Some(value.into());
                        true
                    })*
                    _ => false,
                }
            }

            #[allow(unused_variables, reason = "only PUBLISH repeats subscription identifiers")]
            fn set_lists(
                &mut self,
                user_properties: $crate::UserProperties<'a>,
                subscription_ids: $crate::SubscriptionIds<'a>,
            ) {
                self.user_properties = user_properties;
                $(self.$subscription_ids = subscription_ids;)?
            }

            fn each(
                &self,
                put: &mut impl FnMut($crate::property::Property<'a>) -> Result<(), $crate::EncodeError>,
            ) -> Result<(), $crate::EncodeError> {
                $(if let Some(value) = self.$field {
                    put($crate::property::Property::$property(value.into()))?;
                })*
                $(if !self.$subscription_ids.is_empty() {
                    for id in self.$subscription_ids.iter() {
                        put($crate::property::Property::SubscriptionId(id))?;
                    }
                })?
                if !self.user_properties.is_empty() {
                    for pair in self.user_properties.iter() {
                        put($crate::property::Property::User(pair))?;
                    }
                }
                Ok(())
            }
        }
    };
}
pub(crate) use property_list;

/// Reads over a list without properties; whether there was nothing but that.
#[inline(always)]
pub(crate) fn is_list_absent(reader: &mut Reader<'_, '_>) -> bool {
    !reader.is_v5() || reader.skip_zero()
}

/// Reads the property length and the list; nothing before 5.0.
#[inline(always)]
pub(crate) fn read_list<'a, P: PropertyList<'a>>(reader: &mut Reader<'a, '_>) -> Result<P, DecodeError> {
    if !reader.is_v5() {
        return Ok(P::default());
    }
    match reader.var_int("property length")? {
        0 => Ok(P::default()),
        len => read_entries(reader.sub(len as usize, "property length")?),
    }
}

/// Reads all of a list, without its length.
pub(crate) fn read_entries<'a, P: PropertyList<'a>>(mut list: Reader<'a, '_>) -> Result<P, DecodeError> {
    let mut properties = P::default();
    let (mut user, mut ids) = (Span::new(&list), Span::new(&list));
    let mut seen: u64 = 0;
    let mut count: usize = 0;
    while !list.is_empty() {
        count += 1;
        if count > list.limits.properties_max {
            return list.fail(Kind::TooManyProperties, "properties");
        }
        let before = list.clone();
        let id = list.var_int("property identifier")?;
        match Property::read(id, &mut list)? {
            Property::User(_) if user.count == list.limits.user_properties_max => {
                return before.fail(Kind::TooManyUserProperties, "user property");
            }
            Property::User(_) => user.extend(&before, &list),
            Property::SubscriptionId(_) if P::REPEATS_SUBSCRIPTION_ID => ids.extend(&before, &list),
            property => {
                // `read` knows no identifier above 0x2A.
                let bit = 1 << id;
                if seen & bit != 0 {
                    return before.fail(Kind::PropertyDuplicate, property.name());
                }
                seen |= bit;
                if !properties.set(property) {
                    return before.fail(Kind::PropertyMisplaced, property.name());
                }
            }
        }
    }
    properties.set_lists(UserProperties::Wire(user.list()), SubscriptionIds::Wire(ids.list()));
    Ok(properties)
}

/// The part of a list from the first to the last property of a kind.
struct Span<'a> {
    list: &'a [u8],
    start: usize,
    end: usize,
    count: usize,
}

impl<'a> Span<'a> {
    fn new(list: &Reader<'a, '_>) -> Self {
        Self { list: list.rest(), start: 0, end: 0, count: 0 }
    }

    fn extend(&mut self, before: &Reader<'a, '_>, after: &Reader<'a, '_>) {
        if self.count == 0 {
            self.start = self.list.len() - before.rest().len();
        }
        self.end = self.list.len() - after.rest().len();
        self.count += 1;
    }

    fn list(&self) -> WireList<'a> {
        WireList(self.list.get(self.start..self.end).unwrap_or_default())
    }
}

/// Writes the property length and the list.
pub(crate) fn write_list<'a>(list: &impl PropertyList<'a>, sink: &mut impl Sink) -> Result<(), EncodeError> {
    sink.var_int(entries_len(list)?);
    write_entries(list, sink)
}

/// Writes the list without its length.
pub(crate) fn write_entries<'a>(list: &impl PropertyList<'a>, sink: &mut impl Sink) -> Result<(), EncodeError> {
    list.each(&mut |property| property.write(sink))
}

/// The property length.
pub(crate) fn entries_len<'a>(list: &impl PropertyList<'a>) -> Result<usize, EncodeError> {
    let mut counter = Counter::default();
    write_entries(list, &mut counter)?;
    Ok(counter.0)
}
