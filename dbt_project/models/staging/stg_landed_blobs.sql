with source as (

    select * from {{ source('flow_logs', 'landed_blobs') }}

),

renamed as (

    select
        -- which blob, of which NIC and hour
        source,
        blob,
        resource_id,
        mac,
        written_date,
        written_hour,

        -- what was read of it
        bytes,
        records,
        tuples,
        landed,
        rejected,
        problems,
        landed_at

    from source

)

select * from renamed
