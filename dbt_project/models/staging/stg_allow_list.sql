with source as (

    select * from {{ source('flow_logs', 'allow_list') }}

),

renamed as (

    select
        prefix,
        reason

    from source

)

select * from renamed
