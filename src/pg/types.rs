//! PostgreSQL's types: their numbers, sizes, and which Arrow types carry them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// Key in the metadata of an Arrow field that names a PostgreSQL type in place of the usual one.
pub(crate) const TYPE_KEY: &str = "pg.type";

macro_rules! scalars {
    ($($name:ident $text:literal $oid:literal $array:literal $size:literal;)*) => {
        /// A type that is no array.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Scalar { $($name,)* }

        impl Scalar {
            const ALL: &[Scalar] = &[$(Scalar::$name,)*];

            /// PostgreSQL's short name, oid, oid of its array (0: none) and size in bytes (-1: varies).
            const fn facts(self) -> (&'static str, u32, u32, i16) {
                match self { $(Scalar::$name => ($text, $oid, $array, $size),)* }
            }
        }
    };
}

scalars! {
    Bool "bool" 16 1000 1;
    Bytea "bytea" 17 1001 -1;
    Char "char" 18 1002 1;
    Name "name" 19 1003 64;
    Int8 "int8" 20 1016 8;
    Int2 "int2" 21 1005 2;
    Int2Vector "int2vector" 22 1006 -1;
    Int4 "int4" 23 1007 4;
    Regproc "regproc" 24 1008 4;
    Text "text" 25 1009 -1;
    Oid "oid" 26 1028 4;
    Xid "xid" 28 1011 4;
    OidVector "oidvector" 30 1013 -1;
    Json "json" 114 199 -1;
    NodeTree "pg_node_tree" 194 0 -1;
    Float4 "float4" 700 1021 4;
    Float8 "float8" 701 1022 8;
    Unknown "unknown" 705 0 -2;
    Aclitem "aclitem" 1033 1034 12;
    BpChar "bpchar" 1042 1014 -1;
    Varchar "varchar" 1043 1015 -1;
    Date "date" 1082 1182 4;
    Time "time" 1083 1183 8;
    Timestamp "timestamp" 1114 1115 8;
    TimestampTz "timestamptz" 1184 1185 8;
    Interval "interval" 1186 1187 16;
    Numeric "numeric" 1700 1231 -1;
    Regclass "regclass" 2205 2210 4;
    Regtype "regtype" 2206 2211 4;
    Record "record" 2249 2287 -1;
    Uuid "uuid" 2950 2951 16;
    Jsonb "jsonb" 3802 3807 -1;
    Tid "tid" 27 1010 6;
    Cid "cid" 29 1012 4;
    Inet "inet" 869 1041 -1;
    Regprocedure "regprocedure" 2202 2207 4;
    Regoper "regoper" 2203 2208 4;
    Regoperator "regoperator" 2204 2209 4;
    Regrole "regrole" 4096 4097 4;
    Regnamespace "regnamespace" 4089 4090 4;
    Regcollation "regcollation" 4191 4192 4;
    Regconfig "regconfig" 3734 3735 4;
    Regdictionary "regdictionary" 3769 3770 4;
    Lsn "pg_lsn" 3220 3221 8;
    AnyArray "anyarray" 2277 0 -1;
    Statistic "pg_statistic" 10029 10028 -1;
    NDistinct "pg_ndistinct" 3361 0 -1;
    Dependencies "pg_dependencies" 3402 0 -1;
    McvList "pg_mcv_list" 5017 0 -1;
}

impl Scalar {
    /// Whether the value is kept as a string in Arrow.
    fn is_string(self) -> bool {
        use Scalar::*;
        matches!(
            self,
            Text | Varchar
                | BpChar
                | Name
                | Char
                | Json
                | Jsonb
                | Uuid
                | Unknown
                | NodeTree
                | Aclitem
                | Tid
                | Inet
                | Lsn
                | AnyArray
                | Statistic
                | NDistinct
                | Dependencies
                | McvList
        )
    }

    /// Whether the value is kept as an integer in Arrow.
    fn is_integer(self) -> bool {
        use Scalar::*;
        matches!(self, Int2 | Int4 | Int8 | Oid | Xid | Cid) || self.is_named()
    }

    /// Whether the value is the number of something that is written by its name.
    fn is_named(self) -> bool {
        use Scalar::*;
        matches!(
            self,
            Regproc
                | Regprocedure
                | Regoper
                | Regoperator
                | Regclass
                | Regtype
                | Regrole
                | Regnamespace
                | Regcollation
                | Regconfig
                | Regdictionary
        )
    }
}

/// A type as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) scalar: Scalar,
    pub(crate) is_array: bool,
}

impl PgType {
    pub(crate) const fn scalar(scalar: Scalar) -> Self {
        PgType { scalar, is_array: false }
    }

    const fn array(scalar: Scalar) -> Self {
        PgType { scalar, is_array: true }
    }

    /// The type of an oid, where we know it.
    pub(crate) fn of_oid(oid: u32) -> Option<Self> {
        if oid == 0 {
            return None;
        }
        Scalar::ALL.iter().find_map(|scalar| match scalar.facts() {
            (_, own, ..) if own == oid => Some(PgType::scalar(*scalar)),
            (_, _, array, _) if array == oid => Some(PgType::array(*scalar)),
            _ => None,
        })
    }

    /// The type PostgreSQL calls `name`; an array is written `int4[]` or `_int4`.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let element = name.strip_suffix("[]").or_else(|| name.strip_prefix('_'));
        let found = Scalar::ALL.iter().find(|scalar| scalar.facts().0 == element.unwrap_or(name))?;
        Some(PgType { scalar: *found, is_array: element.is_some() })
    }

    pub(crate) fn oid(self) -> u32 {
        let (_, own, array, _) = self.scalar.facts();
        match self.is_array {
            true if array != 0 => array,
            true => Scalar::Text.facts().2,
            false => own,
        }
    }

    /// `typlen`
    pub(crate) fn size(self) -> i16 {
        if self.is_array { -1 } else { self.scalar.facts().3 }
    }

    #[cfg(test)]
    fn name(self) -> String {
        format!("{}{}", self.scalar.facts().0, if self.is_array { "[]" } else { "" })
    }

    /// The type of a column or parameter: what its metadata says if its Arrow type can carry that, else the type
    /// nearest to the Arrow type.
    pub(crate) fn of_field(field: &Field) -> Self {
        let told = field.metadata().get(TYPE_KEY).and_then(|name| Self::of_name(name));
        told.filter(|told| told.fits(field.data_type())).unwrap_or_else(|| Self::of_arrow(field.data_type()))
    }

    fn fits(self, data_type: &DataType) -> bool {
        match data_type {
            DataType::Dictionary(_, value) => self.fits(value),
            DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
                match self.scalar {
                    Scalar::Int2Vector | Scalar::OidVector if !self.is_array => {
                        element.data_type().is_integer()
                    }
                    scalar => self.is_array && PgType::scalar(scalar).fits_element(element.data_type()),
                }
            }
            _ => !self.is_array && self.fits_element(data_type),
        }
    }

    fn fits_element(self, data_type: &DataType) -> bool {
        match data_type {
            DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
                self.fits_element(inner.data_type())
            }
            // Text may also hold a numeric with more digits than an Arrow decimal has.
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                self.scalar.is_string() || self.scalar == Scalar::Numeric
            }
            DataType::FixedSizeBinary(16) => matches!(self.scalar, Scalar::Uuid | Scalar::Bytea),
            DataType::Null => true,
            // The number and the name.
            DataType::Struct(fields) => match fields.as_ref() {
                [number, name] if self.scalar.is_named() => {
                    *number.data_type() == DataType::Int64 && *name.data_type() == DataType::Utf8
                }
                _ => self.scalar == Scalar::Record,
            },
            integer if integer.is_integer() => self.scalar.is_integer(),
            other => Self::of_arrow(other) == self,
        }
    }

    /// The type nearest to an Arrow type.
    pub(crate) fn of_arrow(data_type: &DataType) -> Self {
        use DataType::*;
        PgType::scalar(match data_type {
            Boolean => Scalar::Bool,
            Int8 | UInt8 | Int16 => Scalar::Int2,
            UInt16 | Int32 => Scalar::Int4,
            UInt32 | Int64 => Scalar::Int8,
            UInt64 | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Scalar::Numeric,
            Float16 | Float32 => Scalar::Float4,
            Float64 => Scalar::Float8,
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Scalar::Bytea,
            Date32 | Date64 => Scalar::Date,
            Time32(_) | Time64(_) => Scalar::Time,
            Timestamp(_, None) => Scalar::Timestamp,
            Timestamp(_, Some(_)) => Scalar::TimestampTz,
            Interval(_) | Duration(_) => Scalar::Interval,
            Struct(_) => Scalar::Record,
            Dictionary(_, value) => return Self::of_arrow(value),
            List(element) | LargeList(element) | FixedSizeList(element, _) => {
                let mut element = element.as_ref();
                while let List(inner) | LargeList(inner) | FixedSizeList(inner, _) = element.data_type() {
                    element = inner;
                }
                return PgType::array(Self::of_field(element).scalar);
            }
            _ => Scalar::Text,
        })
    }

    /// The Arrow type in which a parameter of this type is handed to the planner. `None`: the planner decides.
    pub(crate) fn arrow(self) -> Option<DataType> {
        let scalar = match self.scalar {
            Scalar::Bool => DataType::Boolean,
            Scalar::Bytea => DataType::Binary,
            Scalar::Int2 => DataType::Int16,
            Scalar::Int4 => DataType::Int32,
            Scalar::Int8 | Scalar::Oid | Scalar::Xid | Scalar::Cid => DataType::Int64,
            Scalar::Float4 => DataType::Float32,
            Scalar::Float8 => DataType::Float64,
            Scalar::Date => DataType::Date32,
            Scalar::Time => DataType::Time64(TimeUnit::Microsecond),
            Scalar::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Scalar::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Scalar::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            // The scale of a value is its own: a value is bound with as many digits as it has.
            Scalar::Numeric => DataType::Decimal128(38, 18),
            // Text form is a name, which the planner looks up.
            scalar if scalar.is_named() => DataType::Int64,
            Scalar::Unknown | Scalar::Record => return None,
            _ => DataType::Utf8,
        };
        Some(match self.is_array {
            true => DataType::List(Arc::new(Field::new("item", scalar, true))),
            false => scalar,
        })
    }
}

/// `atttypmod` of a column: precision and scale of a numeric, else -1.
pub(crate) fn type_modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        DataType::Dictionary(_, value) => type_modifier(value),
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            type_modifier(element.data_type())
        }
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_and_names_lead_back_to_their_types() {
        for scalar in Scalar::ALL {
            let own = PgType::scalar(*scalar);
            assert_eq!(PgType::of_oid(own.oid()), Some(own));
            assert_eq!(PgType::of_name(&own.name()), Some(own));
            let array = PgType::array(*scalar);
            if scalar.facts().2 != 0 {
                assert_eq!(PgType::of_oid(array.oid()), Some(array));
                assert_eq!(PgType::of_name(&array.name()), Some(array));
            }
        }
        assert_eq!(PgType::of_oid(0), None);
    }

    #[test]
    fn metadata_decides_only_where_the_values_can_follow() {
        let typed = |data_type, name: &str| {
            let metadata = [(TYPE_KEY.to_owned(), name.to_owned())].into();
            PgType::of_field(&Field::new("x", data_type, true).with_metadata(metadata)).name()
        };
        assert_eq!(typed(DataType::Utf8, "name"), "name");
        assert_eq!(typed(DataType::Int64, "oid"), "oid");
        assert_eq!(typed(DataType::Utf8, "oid"), "text");
        assert_eq!(typed(DataType::Utf8, "no_such_type"), "text");
        let list = |element| DataType::List(Arc::new(Field::new("item", element, true)));
        assert_eq!(typed(list(DataType::Int16), "int2vector"), "int2vector");
        assert_eq!(typed(list(DataType::Utf8), "_name"), "name[]");
        assert_eq!(typed(list(DataType::Utf8), "name"), "text[]");
        assert_eq!(PgType::of_arrow(&list(list(DataType::Int32))).name(), "int4[]");
    }

    #[test]
    fn a_numeric_carries_its_precision_and_scale() {
        assert_eq!(type_modifier(&DataType::Decimal128(18, 2)), 1_179_654);
        assert_eq!(type_modifier(&DataType::Utf8), -1);
    }
}
