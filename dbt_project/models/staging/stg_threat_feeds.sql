with source as (

    select * from {{ source('flow_logs', 'threat_feeds') }}

),

renamed as (

    select
        feed,
        feed_rank

    from source

)

select * from renamed
