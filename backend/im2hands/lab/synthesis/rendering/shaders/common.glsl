#version 330 core
// Shared by all programs: the data of one picture, and the environment panorama's coordinates.
const int MAX_SPHERES = 96;
const int MAX_LIGHTS = 4;
const float PI = 3.14159265;

layout(std140) uniform Frame {
    mat4 projection;
    mat4 shadow_matrix;
    vec4 light_direction[MAX_LIGHTS];  // towards the light
    vec4 light_colour[MAX_LIGHTS];
    vec4 irradiance[9];                // spherical harmonics of the irradiance divided by pi
    vec4 environment_axes[3];          // rows of the rotation from camera to environment frame; w of row 0: strength
    vec4 response;                     // exposure times white balance; w: vignette
    vec4 curve;                        // filmic share, contrast, saturation, infra-red share
    vec4 picture;                      // width, height, cx, cy
    vec4 lens;                         // fx, fy, number of lights, number of spheres
    vec4 skin_tone;                    // w: bump
    vec4 palm_gain;                    // w: flush
    vec4 nail_colour;                  // w: opacity
    vec4 skin_surface;                 // roughness, specular, subsurface, detail
    vec4 shadow_setup;                 // softness (texels), strength, normal offset (m), occlusion strength
    vec4 plane;                        // normal and distance of a table or wall; distance 0: none
    vec4 plane_look;                   // texture scale (1/m), gloss
    vec4 backdrop;                     // unused; blur (mip level); brightness; factor on x and y of the ray of a view
    vec4 backdrop_map[2];              // affine map from pixel position to the coordinates of the backdrop picture
    vec4 spheres[MAX_SPHERES];
};

vec3 to_environment(vec3 d) {
    return vec3(dot(environment_axes[0].xyz, d), dot(environment_axes[1].xyz, d), dot(environment_axes[2].xyz, d));
}

vec2 equirectangular(vec3 d) {
    return vec2(atan(d.x, d.z) / (2.0 * PI) + 0.5, acos(clamp(d.y, -1.0, 1.0)) / PI);
}
