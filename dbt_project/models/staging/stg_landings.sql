with source as (

    select * from {{ source('flow_logs', 'landings') }}

),

renamed as (

    select
        -- of what
        source,
        written_date,
        written_hour,

        -- looked at when, and found what
        listed_at,
        landing_id,
        blobs,
        tuples,
        rejected

    from source

)

select * from renamed
