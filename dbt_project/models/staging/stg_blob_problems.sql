with source as (

    select * from {{ source('flow_logs', 'blob_problems') }}

),

renamed as (

    select
        -- what is wrong
        code,
        detail,

        -- where
        source,
        blob,
        record_no

    from source

)

select * from renamed
