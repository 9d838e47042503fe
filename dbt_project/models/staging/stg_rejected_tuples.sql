with source as (

    select * from {{ source('flow_logs', 'rejected_tuples') }}

),

renamed as (

    select
        -- why, and what
        reject_reason,
        raw,

        -- where it stands in the raw log
        record_time,
        source,
        blob,
        record_no,
        flow_no,
        group_no,
        tuple_no

    from source

)

select * from renamed
