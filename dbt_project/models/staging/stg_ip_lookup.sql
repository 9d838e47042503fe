with source as (

    select * from {{ source('flow_logs', 'ip_lookup') }}

),

renamed as (

    select
        ip,
        country,
        threat_feed,
        threat_entry,
        threat_type,
        valid_from,
        valid_to,
        looked_up_at,
        country_db,
        written_date,
        written_hour

    from source

)

select * from renamed
