{{ config(materialized='view') }}

with days as (

    select * from {{ ref('schema_daily') }}

),

beginning as (

    select min(written_date) as first_date from days

),

features as (

    select
        kind,
        form,
        min(written_date) as first_date,
        min({{ hour_of('written_date', 'first_written_hour') }}) as first_seen_at,
        max({{ hour_of('written_date', 'last_written_hour') }}) as last_seen_at,
        count(*) as days_seen,
        sum(occurrences) as occurrences
    from days
    group by kind, form

)

select
    features.kind,
    features.form,
    features.first_seen_at,
    features.last_seen_at,
    cast(features.days_seen as integer) as days_seen,
    cast(features.occurrences as bigint) as occurrences,
    -- On the first day everything is new: then it is what this program does not know of.
    features.first_date > beginning.first_date
    or (features.kind = 'encryption' and features.form not in ({{ known_encryption_codes() }}))
    or (features.kind = 'problem' and features.form like 'unknown_version:%')
        as is_new
from features
cross join beginning
