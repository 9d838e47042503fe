with blobs as (

    select * from {{ ref('stg_landed_blobs') }}

),

decoded as (

    select
        blob,
        log_version,
        encryption,
        count(*) as occurrences
    from {{ ref('stg_flow_records') }}
    group by blob, log_version, encryption

),

rejected as (

    select
        blob,
        reject_reason,
        case
            when reject_reason in ('too_few_fields', 'too_many_fields')
                then length(raw) - length(replace(raw, ',', '')) + 1
        end as field_count,
        count(*) as occurrences
    from {{ ref('stg_rejected_tuples') }}
    group by
        blob,
        reject_reason,
        case
            when reject_reason in ('too_few_fields', 'too_many_fields')
                then length(raw) - length(replace(raw, ',', '')) + 1
        end

),

problems as (

    select
        blob,
        -- Of these two the detail says what is new.
        case
            when code in ('unknown_version', 'foreign_category') then code || ': ' || detail
            else code
        end as problem,
        count(*) as occurrences
    from {{ ref('stg_blob_problems') }}
    group by
        blob,
        case
            when code in ('unknown_version', 'foreign_category') then code || ': ' || detail
            else code
        end

),

features as (

    select
        blob,
        'log_version' as kind,
        cast(log_version as {{ dbt.type_string() }}) as form,
        occurrences
    from decoded

    union all

    select
        blob,
        'encryption' as kind,
        encryption as form,
        occurrences
    from decoded
    where encryption is not null

    union all

    select
        blob,
        'reject_reason' as kind,
        reject_reason as form,
        occurrences
    from rejected

    union all

    select
        blob,
        'field_count' as kind,
        cast(field_count as {{ dbt.type_string() }}) as form,
        occurrences
    from rejected
    where field_count is not null

    union all

    select
        blob,
        'problem' as kind,
        problem as form,
        occurrences
    from problems

)

select
    blobs.written_date,
    features.kind,
    features.form,
    min(blobs.written_hour) as first_written_hour,
    max(blobs.written_hour) as last_written_hour,
    cast(sum(features.occurrences) as bigint) as occurrences,
    cast(count(distinct features.blob) as bigint) as blobs,
    min(features.blob) as example_blob
from features
inner join blobs on features.blob = blobs.blob
group by blobs.written_date, features.kind, features.form
