with source as (

    select * from {{ source('flow_logs', 'ip_lookup') }}

),

renamed as (

    select
        ip,
        address_class,
        country,
        asn,
        organisation,
        azure_region,
        azure_service,
        scanner,
        network,
        network_kind,
        network_region,
        vnet,
        threat_feed,
        threat_entry,
        threat_type,
        valid_from,
        valid_to,
        looked_up_at,
        country_db,
        asn_db,
        azure_ranges,
        scanner_list,
        network_list,
        written_date,
        written_hour

    from source

)

select * from renamed
