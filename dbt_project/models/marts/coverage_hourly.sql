with blobs as (

    select * from {{ ref('stg_landed_blobs') }}

),

-- A tuple that could not be decoded shows that there was a record, too.
tuples as (

    select
        blob,
        record_time
    from {{ ref('stg_flow_records') }}

    union all

    select
        blob,
        record_time
    from {{ ref('stg_rejected_tuples') }}

),

minutes as (

    select
        blob,
        date_trunc('minute', record_time) as record_minute,
        min(record_time) as first_record_at,
        max(record_time) as last_record_at,
        count(*) as tuples
    from tuples
    group by blob, date_trunc('minute', record_time)

),

of_blob as (

    select
        blob,
        min(first_record_at) as first_record_at,
        max(last_record_at) as last_record_at,
        sum(tuples) as tuples,
        -- Not those of records whose time could not be read.
        count(record_minute) as record_minutes,
        {{ seconds_between('min(record_minute)', 'max(record_minute)') }} / 60 + 1
            as spanned_minutes
    from minutes
    group by blob

)

select
    blobs.written_date,
    blobs.written_hour,
    blobs.source,
    blobs.resource_id,
    blobs.mac,
    blobs.blob,
    blobs.bytes,
    blobs.records,
    cast(coalesce(of_blob.tuples, 0) as bigint) as tuples,
    blobs.rejected,
    blobs.problems,
    of_blob.first_record_at,
    of_blob.last_record_at,
    cast(coalesce(of_blob.record_minutes, 0) as integer) as record_minutes,
    coalesce(of_blob.record_minutes > {{ busy_minutes() }}, false) as is_busy,
    case
        when of_blob.record_minutes > {{ busy_minutes() }}
            then cast(of_blob.spanned_minutes - of_blob.record_minutes as integer)
    end as missing_minutes
from blobs
left join of_blob on blobs.blob = of_blob.blob
