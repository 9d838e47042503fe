with source as (

    select * from {{ source('flow_logs', 'threat_entries') }}

),

renamed as (

    select
        feed,
        entry,
        listed_from,
        listed_to,
        threat_type

    from source

)

select * from renamed
