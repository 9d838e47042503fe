with blobs as (

    select * from {{ ref('stg_landed_blobs') }}

),

records as (

    select * from {{ ref('stg_flow_records') }}

),

-- The edges are fixed, so that days can be held against each other. Azure writes after 1 to 64
-- seconds, the schedule lands after 12 to 72 minutes.
buckets as (

    select
        edges.bucket,
        edges.from_seconds,
        edges.to_seconds
    from (
        values
        (1, null, 0), (2, 0, 15), (3, 15, 30), (4, 30, 60), (5, 60, 90), (6, 90, 120),
        (7, 120, 300), (8, 300, 900), (9, 900, 1800), (10, 1800, 3600), (11, 3600, 7200),
        (12, 7200, 21600), (13, 21600, 86400), (14, 86400, null)
    ) as edges (bucket, from_seconds, to_seconds)

),

-- How long after a flow its record was written, by tuple. Clocks differ: a record can be the older.
by_seconds as (

    select
        blob,
        case
            when record_time < flow_time then -1
            else {{ seconds_between('flow_time', 'record_time') }}
        end as lag_seconds
    from records

),

flow_to_record as (

    select
        blob,
        lag_seconds,
        count(*) as occurrences
    from by_seconds
    group by blob, lag_seconds

),

newest as (

    select
        blob,
        max(record_time) as last_record_at
    from records
    group by blob

),

-- How old the newest record of a blob was when the blob was read last: by blob.
record_to_landing as (

    select
        blobs.blob,
        case
            when blobs.landed_at < newest.last_record_at then -1
            else {{ seconds_between('newest.last_record_at', 'blobs.landed_at') }}
        end as lag_seconds,
        1 as occurrences
    from blobs
    inner join newest on blobs.blob = newest.blob

),

lags as (

    select
        blob,
        'flow_to_record' as measured,
        lag_seconds,
        occurrences
    from flow_to_record

    union all

    select
        blob,
        'record_to_landing' as measured,
        lag_seconds,
        occurrences
    from record_to_landing

)

select
    blobs.written_date,
    blobs.source,
    lags.measured,
    buckets.bucket,
    buckets.from_seconds,
    buckets.to_seconds,
    cast(sum(lags.occurrences) as bigint) as occurrences
from lags
inner join blobs on lags.blob = blobs.blob
left join buckets
    on
        lags.lag_seconds is not null
        and (buckets.from_seconds is null or lags.lag_seconds >= buckets.from_seconds)
        and (buckets.to_seconds is null or lags.lag_seconds < buckets.to_seconds)
group by
    blobs.written_date,
    blobs.source,
    lags.measured,
    buckets.bucket,
    buckets.from_seconds,
    buckets.to_seconds
